// Engine.IO by hand: sessions over long-polling and over a WebSocket, packet by packet.
import { OPCODE } from "./frames.mjs";
import { request } from "./stream.mjs";
import { until } from "./wait.mjs";
import { WebSocketClient } from "./websocket.mjs";

/** The separator between packets of one answer or post. */
export const SEPARATOR = "\x1e";
const PING = "2";
const PONG = "3";
const NOOP = "6";
/** The Socket.IO packet that asks for the default namespace, in an Engine.IO message. */
const CONNECT = "40";
const POSTED = { "content-type": "text/plain;charset=UTF-8" };

/** The address of an Engine.IO request; undefined values are left out. */
export function engineUrl(query = {}, path = "/socket.io/") {
  const pairs = Object.entries({ EIO: "4", transport: "polling", ...query }).filter(([, value]) => value !== undefined);
  return pairs.length === 0 ? path : `${path}?${new URLSearchParams(pairs)}`;
}

/** The address of a handshake over a WebSocket; with a `sid` the address of an upgrade. */
export const socketUrl = (query = {}, path = undefined) => engineUrl({ transport: "websocket", ...query }, path);

/** A long-polling session. Every request has a stream of its own, so that requests can overlap. */
export class PollingSession {
  /**
   * `send(method, path, options)` makes a request; `response` is the answer to the handshake; `pathOf(sid)` gives the
   * address of the session.
   */
  constructor(send, response, pathOf) {
    this.send = send;
    this.response = response;
    this.open = JSON.parse(response.body.slice(1));
    this.sid = this.open.sid;
    this.path = pathOf(this.sid);
  }

  /** Opens a session with the server on this port. `join` also connects it to the default namespace. */
  static async open(port, { query = {}, path, join = false } = {}) {
    const send = (method, to, options) => request(port, method, to, options);
    const response = await send("GET", engineUrl(query, path));
    if (response.status !== 200) throw new Error(`handshake refused: ${response.status} ${response.body}`);
    const session = new PollingSession(send, response, (sid) => engineUrl({ ...query, sid }, path));
    if (join) await session.post(CONNECT);
    return session;
  }

  get(headers) {
    return this.send("GET", this.path, { headers });
  }
  post(body, headers = POSTED) {
    return this.send("POST", this.path, { headers, body });
  }
  /** Polls until `count` packets have arrived (without noops), in any number of answers; a refusal ends it early. */
  async collect(count) {
    const packets = [];
    while (packets.length < count) {
      const { status, body } = await this.get();
      if (status !== 200) return [...packets, status];
      packets.push(...body.split(SEPARATOR).filter((packet) => packet !== NOOP));
    }
    return packets;
  }
}

/** A session over a WebSocket that keeps its texts; Engine.IO's pings are answered and left out. */
export class EngineSocket extends WebSocketClient {
  /** Text messages, each beginning with Engine.IO's type. */
  texts = [];
  pings = 0;
  /** Called with each text; keeps it by default. */
  onText = (text) => this.texts.push(text);
  /** Called with the payload of each compressed message, which is not processed otherwise. */
  onCompressed = undefined;

  constructor(port, path, { answersPings = true, ...options } = {}) {
    super(port, path, options);
    this.answersPings = answersPings;
  }

  receiveMessage({ opcode, payload, compressed }) {
    if (compressed) return void this.onCompressed?.(payload);
    if (opcode !== OPCODE.text) return;
    const text = payload.toString();
    if (text !== PING) return void this.onText(text);
    this.pings += 1;
    if (this.answersPings) this.text(PONG);
  }

  /** The open packet's content, once it has arrived. */
  async opened() {
    const open = await until("the open packet", () => {
      if (this.status > 101 || this.ended) throw new Error(`status ${this.status}, ended: ${this.ended}`);
      return this.texts.find((text) => text.startsWith("0{"));
    });
    return JSON.parse(open.slice(1));
  }
  async heard(text, options) {
    await until(`the message ${text}`, () => this.texts.includes(text), options);
  }
}
