// An Engine.IO client over WebSocket that can be as rude as a test needs: raw bytes, no reading.
import { connect } from "node:net";
import { until, within } from "./until.mjs";
import { upgradeHead } from "./wire.mjs";

/** A client's frame, masked with a key of zeros: as good as any, and cheap. */
export function quickFrame(opcode, payload) {
  const data = Buffer.from(payload);
  const head = Buffer.alloc(data.length > 65535 ? 14 : data.length > 125 ? 8 : 6);
  head[0] = 0x80 | opcode;
  head[1] = 0x80 | (data.length > 65535 ? 127 : data.length > 125 ? 126 : data.length);
  if (data.length > 65535) head.writeBigUInt64BE(BigInt(data.length), 2);
  else if (data.length > 125) head.writeUInt16BE(data.length, 2);
  return Buffer.concat([head, data]);
}

export class WsClient {
  /** Text messages, Engine.IO's type in front; its pings are answered and left out. */
  texts = [];
  /** The close frame: its code, 1005 when it has none. */
  closeCode = undefined;
  ended = false;
  /** Is given the payload of a compressed message, which nothing else looks at. */
  onCompressed = undefined;
  /** What broke the stream. */
  error = undefined;
  status = 0;
  #rest = Buffer.alloc(0);

  constructor(port, path, { answersPings = true, allowHalfOpen = false, headers = {} } = {}) {
    this.answersPings = answersPings;
    this.pings = 0;
    this.socket = connect({ port, host: "127.0.0.1", allowHalfOpen, noDelay: true });
    this.socket.on("data", (chunk) => this.#hear(chunk));
    this.socket.on("error", (error) => (this.error = error.code));
    this.end = new Promise((done) => this.socket.once("close", done)).then(() => (this.ended = true));
    this.socket.write(upgradeHead(path, headers));
  }

  #hear(chunk) {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    if (this.status === 0) {
      const end = this.#rest.indexOf("\r\n\r\n");
      if (end < 0) return;
      this.status = Number(this.#rest.toString("latin1", 9, 12));
      this.#rest = this.#rest.subarray(end + 4);
    }
    if (this.status === 101) this.#frames();
  }

  #frames() {
    let at = 0;
    const bytes = this.#rest;
    while (at + 2 <= bytes.length) {
      const short = bytes[at + 1] & 0x7f;
      const head = short === 127 ? 10 : short === 126 ? 4 : 2;
      if (at + head > bytes.length) break;
      const length = short === 127 ? Number(bytes.readBigUInt64BE(at + 2)) : short === 126 ? bytes.readUInt16BE(at + 2) : short;
      if (at + head + length > bytes.length) break;
      this.#frame(bytes[at] & 0x0f, bytes.subarray(at + head, at + head + length), (bytes[at] & 0x40) !== 0);
      at += head + length;
    }
    this.#rest = bytes.subarray(at);
  }

  #frame(opcode, payload, compressed) {
    if (compressed) return void this.onCompressed?.(payload);
    if (opcode === 8) this.closeCode = payload.length < 2 ? 1005 : payload.readUInt16BE(0);
    if (opcode !== 1) return;
    const text = payload.toString();
    if (text !== "2") return void this.texts.push(text);
    this.pings += 1;
    if (this.answersPings) this.text("3");
  }

  text(text) {
    return this.raw(quickFrame(1, text));
  }
  raw(bytes) {
    this.socket.write(bytes);
    return this;
  }
  /** The open packet's content, once it is there. */
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
  pause() {
    this.socket.pause();
  }
  resume() {
    this.socket.resume();
  }
  async closed(withinMs) {
    await within("the end of the stream", this.end, withinMs);
  }
  destroy() {
    this.socket.destroy();
  }
}
