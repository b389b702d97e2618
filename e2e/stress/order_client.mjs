// One real client that writes down what it heard and did, in order. Each of its sockets, from connect to disconnect, is a *life*.
import { io as connect } from "socket.io-client";
import { TRANSPORTS } from "../harness/world.mjs";
import { isWhole, payloadOf } from "./payloads.mjs";
import { Streams } from "./streams.mjs";

const MODES = Object.keys(TRANSPORTS);
const now = () => Number(process.hrtime.bigint()) / 1e6;

export class OrderClient {
  lives = [];
  /** What came before the first life: nothing may. */
  strays = [];
  #sent = 0;
  #streams = new Streams();

  constructor(url, number) {
    this.number = number;
    this.mode = MODES[number % MODES.length];
    this.socket = connect(url, {
      ...TRANSPORTS[this.mode],
      forceNew: true,
      agent: this.#streams.agent,
      auth: { client: number },
      reconnectionDelay: 20,
      reconnectionDelayMax: 200,
    });
    this.#listen();
  }

  #listen() {
    const { socket } = this;
    const numberOf = (id) => Number(id.split(":")[1]);
    socket.on("connect", () => this.lives.push({ client: this.number, mode: this.mode, s: socket.id, events: [{ t: now(), e: "connect" }] }));
    socket.on("disconnect", (reason) => this.#write("disconnect", { reason }));
    socket.on("m", (id, payload) => this.#write("heard", { id, bad: !isWhole(numberOf(id), payload) }));
    // Of these answers the app gets a list, which tells no order.
    socket.on("b", (id, payload, done) => {
      this.#write("heard", { id, bad: !isWhole(numberOf(id), payload) });
      done(id);
    });
    socket.on("q", (id, payload, done) => {
      this.#write("heard", { id, bad: !isWhole(numberOf(id), payload) });
      this.#write("answered", { id });
      done(id);
    });
  }

  #write(e, event) {
    const events = this.lives.at(-1)?.events ?? this.strays;
    events.push({ t: now(), e, ...event });
  }

  say() {
    const n = (this.#sent += 1);
    this.#write("said", { n });
    this.socket.emit("m", n, payloadOf(n));
  }
  /** Gives the question's number. */
  ask() {
    const n = (this.#sent += 1);
    this.#write("said", { n, asks: true });
    this.socket.emit("q", n, payloadOf(n), (answer) => this.#write("acked", { n: answer }));
    return n;
  }
  leave() {
    this.#write("left", {});
    this.socket.disconnect();
  }
  cut() {
    this.#write("cut", {});
    this.#streams.cut();
  }
  /** After a leave, or when the app ended it: then Socket.IO's client does not come back by itself. */
  comeBack() {
    if (!this.socket.active) this.socket.connect();
  }
  get wasCut() {
    return this.lives.at(-1).events.some(({ e }) => e === "cut");
  }
}
