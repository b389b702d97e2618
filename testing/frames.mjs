// WebSocket frames (RFC 6455, section 5.2): encodes any frame, right or wrong, and decodes bytes into frames.
import { randomBytes } from "node:crypto";
import { constants, deflateRawSync } from "node:zlib";

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };
/** The reserved bits. `compressed` begins a message that permessage-deflate compressed. */
export const RESERVED = { compressed: 4, second: 2, third: 1 };

/**
 * Encodes a frame as a client sends it. `mask: false`, `reserved` bits that were not agreed on, an unknown `opcode` and
 * a false `length` break the rules on purpose.
 */
export function encodeFrame({
  opcode = OPCODE.text,
  payload = "",
  fin = true,
  reserved = 0,
  mask = true,
  length,
} = {}) {
  const data = Buffer.from(payload);
  const said = length ?? data.length;
  const lengthBytes = said > 0xffff ? 8 : said > 125 ? 2 : 0;
  const head = Buffer.alloc(2 + lengthBytes + (mask ? 4 : 0));
  head[0] = (fin ? 0x80 : 0) | (reserved << 4) | opcode;
  head[1] = (mask ? 0x80 : 0) | (lengthBytes === 8 ? 127 : lengthBytes === 2 ? 126 : said);
  if (lengthBytes === 8) head.writeBigUInt64BE(BigInt(said), 2);
  else if (lengthBytes === 2) head.writeUInt16BE(said, 2);
  if (mask) {
    const key = randomBytes(4);
    key.copy(head, 2 + lengthBytes);
    for (let at = 0; at < data.length; at += 1) data[at] ^= key[at & 3];
  }
  return Buffer.concat([head, data]);
}

/** A whole text message in one frame. */
export const textFrame = (payload) => encodeFrame({ payload });

/** A whole text message in one frame, compressed by permessage-deflate. */
export function compressedFrame(text) {
  const deflated = deflateRawSync(text, { finishFlush: constants.Z_SYNC_FLUSH });
  // RFC 7692, section 7.2.1: the four bytes of the flush are not sent.
  return encodeFrame({ reserved: RESERVED.compressed, payload: deflated.subarray(0, -4) });
}

/** A close frame; without a code its payload is empty. */
export function closeFrame(code, reason = "") {
  const payload = code === undefined ? "" : Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason)]);
  return encodeFrame({ opcode: OPCODE.close, payload });
}

/** The code in a close frame's payload; RFC 6455 uses 1005 for "no code". */
export const closeCodeOf = (payload) => (payload.length < 2 ? 1005 : payload.readUInt16BE(0));

/** Decodes bytes into frames: `push` returns the frames that this chunk completes. */
export class FrameDecoder {
  #chunks = [];
  #bytes = 0;
  #wanted = 2;

  push(chunk) {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes < this.#wanted) return [];
    const bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    const frames = [];
    let at = 0;
    for (let frame; (frame = this.#decode(bytes.subarray(at))); at += frame.size) frames.push(frame);
    this.#chunks = [bytes.subarray(at)];
    this.#bytes -= at;
    return frames;
  }

  #decode(bytes) {
    this.#wanted = 2;
    if (bytes.length < this.#wanted) return undefined;
    const short = bytes[1] & 0x7f;
    const masked = (bytes[1] & 0x80) !== 0;
    const head = 2 + (short === 127 ? 8 : short === 126 ? 2 : 0) + (masked ? 4 : 0);
    this.#wanted = head;
    if (bytes.length < head) return undefined;
    const length = short === 127 ? Number(bytes.readBigUInt64BE(2)) : short === 126 ? bytes.readUInt16BE(2) : short;
    const size = head + length;
    this.#wanted = size;
    if (bytes.length < size) return undefined;
    return {
      fin: (bytes[0] & 0x80) !== 0,
      reserved: (bytes[0] >> 4) & 7,
      opcode: bytes[0] & 0x0f,
      masked,
      payload: bytes.subarray(head, size),
      size,
    };
  }
}
