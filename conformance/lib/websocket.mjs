// A WebSocket that reports its input as one-line strings, for a transcript.
import zlib from "node:zlib";
import { OPCODE, RESERVED } from "../../testing/frames.mjs";
import { WebSocketClient, acceptOf } from "../../testing/websocket.mjs";
import { WAIT_MS } from "./wait.mjs";

/** The bytes that permessage-deflate removes from the end of each message (RFC 7692, section 7.2.1). */
const DEFLATE_TAIL = Buffer.from([0, 0, 0xff, 0xff]);
/** How far back a compressed message may refer. */
const WINDOW_BYTES = 32_768;

export class TranscriptSocket extends WebSocketClient {
  /** Lines that were not read yet, and the callers that wait for the next one. */
  inbox = [];
  #readers = [];
  /** The end of the inflated data so far. */
  #inflated = Buffer.alloc(0);

  /** Opens; `response` is the answer, also if it is a refusal. */
  static async open(port, path, options) {
    const socket = new TranscriptSocket(port, path, options);
    await socket.answered;
    void socket.end.then(() => socket.#deliver("end"));
    const { headers } = socket.response ?? { headers: {} };
    const accept = headers["sec-websocket-accept"];
    if (accept) headers["sec-websocket-accept"] = accept === acceptOf(socket.key) ? "right" : "wrong";
    return socket;
  }

  /** The next line: `text …`, `binary <hex>`, `ping <text>`, `pong <text>`, `close <code> <reason>`, `end`. */
  next(waitMs = WAIT_MS) {
    if (this.inbox.length > 0) return Promise.resolve(this.inbox.shift());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`nothing came over the WebSocket in ${waitMs} ms`)), waitMs);
      this.#readers.push((line) => (clearTimeout(timer), resolve(line)));
    });
  }

  /** The next `count` lines. */
  async take(count) {
    const lines = [];
    while (lines.length < count) lines.push(await this.next());
    return lines;
  }

  /** All lines until the stream ends; the last one is `end`. A close frame is answered, as in a browser. */
  async rest() {
    const lines = [];
    do {
      lines.push(await this.next());
      if (lines.at(-1).startsWith("close")) this.frame({ opcode: OPCODE.close, payload: this.closePayload });
    } while (lines.at(-1) !== "end");
    return lines;
  }

  receiveControl(frame) {
    const { opcode, payload } = frame;
    if (opcode === OPCODE.ping) return this.#deliver(`ping ${payload}`, frame);
    if (opcode === OPCODE.pong) return this.#deliver(`pong ${payload}`, frame);
    const code = payload.length < 2 ? "none" : this.closeCode;
    this.#deliver(`close ${code} ${payload.subarray(2)}`.trimEnd(), frame);
  }

  receiveMessage({ opcode, payload, compressed, last }) {
    const whole = compressed && this.#mayCompress ? this.#inflate(payload) : payload;
    this.#deliver(opcode === OPCODE.text ? `text ${whole}` : `binary ${whole.toString("hex")}`, last);
  }

  get #mayCompress() {
    return this.response.headers["sec-websocket-extensions"] !== undefined;
  }

  #inflate(bytes) {
    const dictionary = this.#inflated.length > 0 ? this.#inflated : undefined;
    const whole = Buffer.concat([bytes, DEFLATE_TAIL]);
    const message = zlib.inflateRawSync(whole, { finishFlush: zlib.constants.Z_SYNC_FLUSH, dictionary });
    this.#inflated = Buffer.concat([this.#inflated, message]).subarray(-WINDOW_BYTES);
    return message;
  }

  /** Adds a line, with the faults of its frame. */
  #deliver(line, frame) {
    const read = this.#readers.shift();
    const whole = line + (frame ? this.#faults(frame) : "");
    if (read) read(whole);
    else this.inbox.push(whole);
  }

  /** The faults of a frame: a server sets no mask, and no reserved bit except that of the agreed compression. */
  #faults({ reserved, masked }) {
    const agreed = reserved === RESERVED.compressed && this.#mayCompress;
    return (reserved !== 0 && !agreed ? " (reserved bits)" : "") + (masked ? " (masked)" : "");
  }
}
