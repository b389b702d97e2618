// A real client that writes down what it said, what was answered, what it heard, and each end of its connection.
import { io as connect } from "socket.io-client";
import { TRANSPORTS } from "../harness/world.mjs";

const now = () => Number(process.hrtime.bigint()) / 1e6;

export class DeployClient {
  /** What it said: `{ number, at, outcome, doneAt }`; the outcome is `pending`, `acked` or `failed`. */
  said = [];
  /** What it heard, by the sender: lists of numbers, one list for each unbroken time of the connection. */
  heard = new Map();
  ends = [];
  connects = [];
  longestPauseMs = 0;
  /** How many sockets it has had. */
  life = 0;
  #lastNewsAt;

  constructor(url, number, { mode = "websocket", reconnectionDelay = 500, reconnectionDelayMax = 2_000 } = {}) {
    this.number = number;
    this.socket = connect(url, {
      ...TRANSPORTS[mode],
      forceNew: true,
      auth: { client: number },
      reconnectionDelay,
      reconnectionDelayMax,
    });
    this.socket.on("connect", () => {
      const { id, recovered } = this.socket;
      this.connects.push({ at: now(), id, recovered });
      if (!recovered) this.life += 1;
    });
    this.socket.on("disconnect", (reason) => {
      this.ends.push({ at: now(), reason });
      this.#lastNewsAt = undefined;
    });
    this.socket.on("news", (server, count) => {
      const at = now();
      if (this.#lastNewsAt !== undefined) this.longestPauseMs = Math.max(this.longestPauseMs, at - this.#lastNewsAt);
      this.#lastNewsAt = at;
      const key = `${this.life} ${server}`;
      if (!this.heard.has(key)) this.heard.set(key, []);
      this.heard.get(key).push(count);
    });
  }

  /** Says the next thing, unless it is not connected; its outcome is written down when it is known. */
  say() {
    if (!this.socket.connected) return;
    const entry = { number: this.said.length, at: now(), outcome: "pending" };
    this.said.push(entry);
    const done = (outcome) => Object.assign(entry, { outcome, doneAt: now() });
    this.socket.emitWithAck("say", entry.number).then(
      () => done("acked"),
      () => done("failed"),
    );
  }

  get pending() {
    return this.said.filter(({ outcome }) => outcome === "pending").length;
  }
}
