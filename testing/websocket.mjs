// A WebSocket client that can break any rule that a test needs: any frame, raw bytes, no reading. Input goes to methods
// that a subclass overrides.
import { createHash, randomBytes } from "node:crypto";
import { FrameDecoder, OPCODE, RESERVED, closeCodeOf, closeFrame, encodeFrame } from "./frames.mjs";
import { requestHead } from "./http.mjs";
import { RawStream } from "./stream.mjs";
import { until } from "./wait.mjs";

/** The text that RFC 6455 appends to a key before hashing it. */
const KEY_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** The head of a WebSocket handshake. */
export function upgradeHead(path, headers = {}) {
  return requestHead("GET", path, {
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": randomBytes(16).toString("base64"),
    ...headers,
  });
}

/** The `sec-websocket-accept` by which a server proves that it has read this key. */
export const acceptOf = (key) =>
  createHash("sha1")
    .update(key + KEY_SUFFIX)
    .digest("base64");

export class WebSocketClient {
  /** The answer to the handshake, also if it is a refusal; undefined when the stream ended without one. */
  response = undefined;
  /** The close frame: its code (1005 when it has none) and its payload. */
  closeCode = undefined;
  closePayload = undefined;
  messages = [];
  #decoder = new FrameDecoder();
  /** A fragmented message of which more fragments are to come. */
  #message = undefined;

  /** `early` frames are sent in one write with the handshake. Further options: see `RawStream`. */
  constructor(port, path, { headers = {}, early = [], ...options } = {}) {
    this.stream = new RawStream(port, options);
    this.key = randomBytes(16).toString("base64");
    this.answered = new Promise((done) => this.stream.expect("GET", (response) => done(this.#answer(response))));
    const head = upgradeHead(path, { host: this.stream.host, "sec-websocket-key": this.key, ...headers });
    this.raw(Buffer.concat([Buffer.from(head, "latin1"), ...early.map(encodeFrame)]));
  }

  /** The status of the answer; 0 before it has arrived. */
  get status() {
    return this.response?.status ?? 0;
  }
  get ended() {
    return this.stream.ended;
  }
  get end() {
    return this.stream.end;
  }
  get error() {
    return this.stream.error;
  }
  get socket() {
    return this.stream.socket;
  }
  /** Bytes that were written and that the kernel has not accepted yet. */
  get unsentBytes() {
    return this.stream.unsentBytes;
  }

  /** Sends one frame: see `encodeFrame`. */
  frame(frame) {
    return this.raw(encodeFrame(frame));
  }
  text(payload) {
    return this.frame({ payload });
  }
  binary(payload) {
    return this.frame({ opcode: OPCODE.binary, payload });
  }
  close(code, reason) {
    return this.raw(closeFrame(code, reason));
  }
  raw(bytes) {
    this.stream.write(bytes);
    return this;
  }
  /** Sends everything that `say` sends in one write, so that the server reads it at once. */
  together(say) {
    this.socket.cork();
    say(this);
    this.socket.uncork();
    return this;
  }

  /** Waits until frames may be sent. */
  async open() {
    await until("the WebSocket", () => {
      if (this.status > 101 || this.ended) throw new Error(`status ${this.status}, ended: ${this.ended}`);
      return this.status === 101;
    });
    return this;
  }
  /** Waits for the server's close frame, and returns its code; "none" when the stream ends without one. */
  closedWith() {
    return until("a close frame", () => this.closeCode ?? (this.ended && "none"));
  }
  closed(withinMs) {
    return this.stream.closed(withinMs);
  }
  pause() {
    this.stream.pause();
  }
  resume() {
    this.stream.resume();
  }
  destroy() {
    this.stream.destroy();
  }

  /** Called with each frame: by default it joins data frames to messages, and remembers a close frame. */
  receiveFrame(frame) {
    if (frame.opcode === OPCODE.close) {
      this.closePayload = frame.payload;
      this.closeCode = closeCodeOf(frame.payload);
    }
    if (frame.opcode >= OPCODE.close) return this.receiveControl(frame);
    const { opcode, reserved, payload, fin } = frame;
    this.#message ??= { opcode, compressed: (reserved & RESERVED.compressed) !== 0, parts: [] };
    this.#message.parts.push(payload);
    if (!fin) return undefined;
    const { parts, ...message } = this.#message;
    this.#message = undefined;
    return this.receiveMessage({
      ...message,
      payload: parts.length === 1 ? parts[0] : Buffer.concat(parts),
      last: frame,
    });
  }
  /** Called with each ping, pong and close frame. */
  receiveControl(_frame) {}
  /**
   * Called with each message: `opcode`, `payload`, whether it is `compressed`, and its `last` frame. By default the
   * message is kept.
   */
  receiveMessage(message) {
    this.messages.push(message);
  }

  #answer(response) {
    this.response = response;
    if (this.status !== 101) return response;
    this.stream.onBytes = (chunk) => this.#read(chunk);
    const early = this.stream.received;
    this.stream.received = Buffer.alloc(0);
    if (early.length > 0) this.#read(early);
    return response;
  }

  #read(chunk) {
    for (const frame of this.#decoder.push(chunk)) this.receiveFrame(frame);
  }
}

/** The answer to a WebSocket handshake at this address; the stream is then closed. */
export async function handshakeAt(url) {
  const { port, pathname, search } = new URL(url);
  const client = new WebSocketClient(Number(port), pathname + search);
  try {
    return await client.answered;
  } finally {
    client.destroy();
  }
}
