// One real client that records what it received and did, in order. Each of its sockets, from connect to disconnect, is
// a *life*.
import { io as connect } from "socket.io-client";
import { TRANSPORTS } from "../harness/world.mjs";
import { isWhole, payloadOf } from "./payloads.mjs";
import { Streams } from "./streams.mjs";

const MODES = Object.keys(TRANSPORTS);
const now = () => Number(process.hrtime.bigint()) / 1e6;

export class OrderClient {
  lives = [];
  /** Messages before the first life: there must be none. */
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
    socket.on("connect", () =>
      this.lives.push({
        client: this.number,
        mode: this.mode,
        socket: socket.id,
        events: [{ time: now(), kind: "connect" }],
      }),
    );
    socket.on("disconnect", (reason) => this.#write("disconnect", { reason }));
    socket.on("message", (id, payload) => this.#write("heard", { id, bad: !isWhole(numberOf(id), payload) }));
    // The app gets a list of these answers, which has no order.
    socket.on("question to all", (id, payload, done) => {
      this.#write("heard", { id, bad: !isWhole(numberOf(id), payload) });
      done(id);
    });
    socket.on("question", (id, payload, done) => {
      this.#write("heard", { id, bad: !isWhole(numberOf(id), payload) });
      this.#write("answered", { id });
      done(id);
    });
  }

  #write(kind, event) {
    const events = this.lives.at(-1)?.events ?? this.strays;
    events.push({ time: now(), kind, ...event });
  }

  say() {
    const number = (this.#sent += 1);
    this.#write("said", { number });
    this.socket.emit("message", number, payloadOf(number));
  }
  /** Asks a question; returns its number. */
  ask() {
    const number = (this.#sent += 1);
    this.#write("said", { number, asks: true });
    this.socket.emit("question", number, payloadOf(number), (answer) => this.#write("acked", { number: answer }));
    return number;
  }
  leave() {
    this.#write("left", {});
    this.socket.disconnect();
  }
  cut() {
    this.#write("cut", {});
    this.#streams.cut();
  }
  /**
   * Reconnects after a leave, or after the app ended the socket: Socket.IO's client does not reconnect then by itself.
   */
  comeBack() {
    if (!this.socket.active) this.socket.connect();
  }
  get wasCut() {
    return this.lives.at(-1).events.some(({ kind }) => kind === "cut");
  }
}
