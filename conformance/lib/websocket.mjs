// A raw WebSocket client: it can send any frame, right or wrong, and reports what comes as one-line strings.
import crypto from "node:crypto";
import zlib from "node:zlib";
import { Stream, head } from "./http.mjs";
import { WAIT_MS } from "./wait.mjs";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

function encode({ opcode = OPCODE.text, payload = "", fin = true, rsv = 0, mask = true, length }) {
  const data = Buffer.from(payload);
  const size = length ?? data.length;
  const header = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
  const maskBit = mask ? 0x80 : 0;
  if (size < 126) header.push(maskBit | size);
  else if (size < 65536) header.push(maskBit | 126, size >> 8, size & 255);
  else header.push(maskBit | 127, 0, 0, 0, 0, (size >>> 24) & 255, (size >> 16) & 255, (size >> 8) & 255, size & 255);
  if (!mask) return Buffer.concat([Buffer.from(header), data]);
  const maskKey = crypto.randomBytes(4);
  const masked = data.map((byte, at) => byte ^ maskKey[at & 3]);
  return Buffer.concat([Buffer.from(header), maskKey, masked]);
}

export class WebSocket {
  constructor(stream, response) {
    this.stream = stream;
    this.response = response;
    this.inbox = [];
    this.readers = [];
    this.message = undefined; // a fragmented message under way
    stream.onBytes = () => this.#parse();
    stream.end.then(() => this.#deliver("end"));
    this.#parse();
  }

  /** Opens; `response` tells the answer, also when it is a refusal. `early` are frames in the same write as the request. */
  static async open(port, path, headers = {}, early = []) {
    const stream = await Stream.open(port);
    const key = crypto.randomBytes(16).toString("base64");
    const answer = stream.answer("GET");
    const request = head("GET", path, {
      host: "conformance.test",
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": key,
      ...headers,
    });
    stream.send(Buffer.concat([request, ...early.map((frame) => encode(frame))]));
    const response = await answer;
    if (response?.headers["sec-websocket-accept"]) {
      const right = crypto.createHash("sha1").update(key + GUID).digest("base64");
      response.headers["sec-websocket-accept"] = response.headers["sec-websocket-accept"] === right ? "right" : "wrong";
    }
    return new WebSocket(stream, response);
  }

  /** Sends one frame. `mask: false`, `rsv` (0-7), any `opcode` and a false `length` break the rules on purpose. */
  frame(frame) {
    return this.raw(encode(frame));
  }

  raw(bytes) {
    this.stream.send(bytes);
    return this;
  }
  text(payload) {
    return this.frame({ payload });
  }
  binary(payload) {
    return this.frame({ opcode: OPCODE.binary, payload });
  }
  close(code, reason = "") {
    const payload = code === undefined ? "" : Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]);
    return this.frame({ opcode: OPCODE.close, payload });
  }
  destroy() {
    this.stream.destroy();
  }
  /** Sends all that `say` sends in one write, so that the server reads it at once. */
  together(say) {
    this.stream.socket.cork();
    say(this);
    this.stream.socket.uncork();
    return this;
  }

  /** What comes next: `text …`, `binary <hex>`, `ping <text>`, `pong <text>`, `close <code> <reason>`, `end`. */
  next(waitMs = WAIT_MS) {
    if (this.inbox.length > 0) return Promise.resolve(this.inbox.shift());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`nothing came over the WebSocket in ${waitMs} ms`)), waitMs);
      this.readers.push((line) => (clearTimeout(timer), resolve(line)));
    });
  }

  /** The next `count` of them. */
  async take(count) {
    const lines = [];
    while (lines.length < count) lines.push(await this.next());
    return lines;
  }

  /** Everything until the stream ends; the last one is `end`. A close frame is answered, as a browser would. */
  async rest() {
    const lines = [];
    do {
      lines.push(await this.next());
      if (lines.at(-1).startsWith("close")) this.frame({ opcode: OPCODE.close, payload: this.closePayload });
    } while (lines.at(-1) !== "end");
    return lines;
  }

  /** A message may refer to the 32 KiB before it. */
  #inflate(bytes) {
    const dictionary = this.inflated?.length ? this.inflated : undefined;
    const whole = Buffer.concat([bytes, Buffer.from([0, 0, 255, 255])]);
    const message = zlib.inflateRawSync(whole, { finishFlush: zlib.constants.Z_SYNC_FLUSH, dictionary });
    this.inflated = Buffer.concat([this.inflated ?? Buffer.alloc(0), message]).subarray(-32_768);
    return message;
  }

  #deliver(line) {
    const reader = this.readers.shift();
    if (reader) reader(line);
    else this.inbox.push(line);
  }

  #parse() {
    for (;;) {
      const buffer = this.stream.buffer;
      if (this.response?.status !== 101 || buffer.length < 2) return;
      let size = buffer[1] & 127;
      let at = 2;
      if (size === 126) (size = buffer.length < 4 ? Infinity : buffer.readUInt16BE(2)), (at = 4);
      else if (size === 127) (size = buffer.length < 10 ? Infinity : Number(buffer.readBigUInt64BE(2))), (at = 10);
      if (buffer.length < at + size) return;
      const payload = Buffer.from(buffer.subarray(at, at + size));
      this.stream.buffer = buffer.subarray(at + size);
      this.#frame(buffer[0], payload, (buffer[1] & 0x80) !== 0);
    }
  }

  #frame(first, payload, masked) {
    const opcode = first & 15;
    // Deflated messages are what they say once a compression was agreed on.
    const deflated = (first & 0x70) === 0x40 && this.response.headers["sec-websocket-extensions"] !== undefined;
    const wrong = (first & 0x70 && !deflated ? " (reserved bits)" : "") + (masked ? " (masked)" : "");
    if (opcode === OPCODE.ping) return this.#deliver(`ping ${payload}${wrong}`);
    if (opcode === OPCODE.pong) return this.#deliver(`pong ${payload}${wrong}`);
    if (opcode === OPCODE.close) {
      this.closePayload = payload;
      const code = payload.length < 2 ? "none" : payload.readUInt16BE(0);
      return this.#deliver(`close ${code} ${payload.subarray(2)}`.trimEnd() + wrong);
    }
    this.message ??= { opcode, deflated, parts: [] };
    this.message.parts.push(payload);
    if (!(first & 0x80)) return;
    const sent = Buffer.concat(this.message.parts);
    const whole = this.message.deflated ? this.#inflate(sent) : sent;
    const isText = this.message.opcode === OPCODE.text;
    this.message = undefined;
    this.#deliver((isText ? `text ${whole}` : `binary ${whole.toString("hex")}`) + wrong);
  }
}
