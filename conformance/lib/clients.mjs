// Real Socket.IO clients that record what they see.
import { io as connect4 } from "socket.io-client";
import connect2 from "socket.io-client-v2";
import { WAIT_MS } from "./wait.mjs";

const RESERVED = ["connect", "disconnect", "connect_error"];

/** One socket of a real client; each event is a line of the transcript under the client's name. */
export class Client {
  #t;
  #seen = [];
  #watchers = new Set();

  /**
   * @param options of the client, and in addition `nsp`, `version` (4 or 2), and `on`: another client whose connection
   *   is shared.
   */
  constructor(t, who, { nsp = "/", version = 4, on, quiet = false, ...options }) {
    this.#t = t;
    this.who = who;
    this.version = version;
    this.quiet = quiet;
    this.socket = on ? on.socket.io.socket(nsp, options) : open(t, who, nsp, version, options);
    this.#watch();
  }

  get id() {
    return this.socket.id;
  }

  get engine() {
    return this.socket.io.engine;
  }

  /** Waits for the `count`-th `event` (also `connect`, `disconnect`, `connect_error`); resolves with its arguments. */
  until(event, count = 1) {
    const found = () => this.#seen.filter((one) => one.event === event)[count - 1]?.args;
    return new Promise((resolve, reject) => {
      const check = () => {
        const args = found();
        if (!args) return;
        clearTimeout(timer);
        this.#watchers.delete(check);
        resolve(args);
      };
      const timer = setTimeout(() => {
        this.#watchers.delete(check);
        reject(new Error(`client ${this.who} did not see "${event}" (${count}) in ${WAIT_MS} ms`));
      }, WAIT_MS);
      this.#watchers.add(check);
      check();
    });
  }

  emit(...args) {
    this.socket.emit(...args);
    return this;
  }

  /** Emits, and resolves with the app's acknowledgement. */
  ask(...args) {
    if (this.version === 4) return this.socket.timeout(WAIT_MS).emitWithAck(...args);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no acknowledgement of "${args[0]}" in ${WAIT_MS} ms`)), WAIT_MS);
      this.socket.emit(...args, (answer) => (clearTimeout(timer), resolve(answer)));
    });
  }

  /** Acknowledges each `event` with what `answer` returns. */
  answer(event, answer) {
    this.socket.on(event, (...args) => args.pop()(answer(...args)));
    return this;
  }

  /** Resolves when the connection is a WebSocket. */
  async upgraded() {
    if (this.engine.transport.name === "websocket") return;
    await new Promise((resolve) => this.engine.once("upgrade", resolve));
  }

  close() {
    this.socket.io.reconnection(false);
    this.socket.close();
    this.socket.io.engine?.close();
  }

  #watch() {
    const { socket } = this;
    const client = this;
    socket.on("connect", () => {
      this.#t.name(socket.id, `<id ${this.who}>`);
      this.#t.name(this.engine.id, `<sid ${this.who}>`);
      this.#note("connect", socket.recovered ? ["recovered"] : []);
    });
    socket.on("disconnect", (reason) => this.#note("disconnect", [reason]));
    socket.on("connect_error", (error) =>
      this.#note("connect_error", error.data === undefined ? [error.message] : [error.message, error.data]),
    );
    if (this.version === 2) socket.on("error", (error) => this.#note("error", [error.message ?? error]));
    const take = socket.onevent;
    socket.onevent = function (packet) {
      client.#note(packet.data[0], withoutOffset(this, packet.data.slice(1)));
      take.call(this, packet);
    };
  }

  #note(event, args) {
    this.#seen.push({ event, args });
    const quiet = event === "settled" || (this.quiet && !RESERVED.includes(event));
    if (!quiet) this.#t.logOf(this.who, event, args.length > 0 ? args : undefined);
    for (const check of [...this.#watchers]) check();
  }
}

function open(t, who, nsp, version, options) {
  const url = `http://127.0.0.1:${t.clientPort()}${nsp}`;
  const connect = version === 2 ? connect2 : connect4;
  const { extraHeaders, ...others } = options;
  return connect(url, {
    transports: ["websocket"],
    reconnection: false,
    reconnectionDelay: 20,
    reconnectionDelayMax: 20,
    forceNew: true,
    extraHeaders: { "x-who": who, ...extraHeaders },
    ...others,
  });
}

/** With state recovery, a recoverable event has its offset as a last argument. */
function withoutOffset(socket, args) {
  if (socket._pid && args.length >= 2 && typeof args.at(-1) === "string") args[args.length - 1] = "<offset>";
  return args;
}
