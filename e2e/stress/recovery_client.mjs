// A real client whose streams can be cut, and that can insist on an app server when it returns.
import { io as connect } from "socket.io-client";
import { TRANSPORTS } from "../harness/world.mjs";
import { Streams } from "./streams.mjs";

export const MODES = Object.keys(TRANSPORTS);
const RETRY_MS = 40;

export class RecoveryClient {
  heard = [];
  /** The properties that must be the same afterwards. */
  first = undefined;
  /** `{ id, recovered }` of every connect after the first. */
  returns = [];
  server = undefined;
  wanted = undefined;
  refusals = 0;
  #streams = new Streams();

  constructor(url, number) {
    this.number = number;
    this.mode = MODES[number % MODES.length];
    this.rooms = [`tens${Math.floor(number / 3) % 10}`, `odd${number % 2}`];
    this.data = { number, secret: `of ${number}`, bytes: Buffer.from([number & 255, number >> 8]) };
    this.socket = connect(url, {
      ...TRANSPORTS[this.mode],
      forceNew: true,
      reconnection: false,
      agent: this.#streams.agent,
      auth: { client: number, rooms: this.rooms, data: this.data },
    });
    this.socket.on("message", (id, bytes) => this.heard.push(String(bytes) === id ? id : `${id}, spoilt`));
    this.socket.on("server", (name) => (this.server = name));
    this.socket.on("connect", () => this.#connected());
    this.socket.on("connect_error", () => {
      if (this.wanted === undefined) return;
      this.refusals += 1;
      setTimeout(() => this.socket.connect(), RETRY_MS * (0.5 + Math.random()));
    });
  }

  #connected() {
    const { id, recovered } = this.socket;
    if (this.first === undefined) this.first = { id };
    else this.returns.push({ id, recovered });
  }

  cut() {
    this.home = this.server;
    this.#streams.cut();
  }
  /** `wanted`: an app server's name, or null when any is accepted; `url`: the address. */
  comeBack(wanted, url) {
    this.socket.io.uri = url;
    this.wanted = wanted;
    this.server = undefined;
    this.socket.io.opts.query = wanted === null ? {} : { want: wanted };
    this.socket.connect();
  }
}
