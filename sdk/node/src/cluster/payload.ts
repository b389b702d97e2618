/**
 * Messages among app servers as the bytes of `Relay` frames: Node.js's own structured serialization, so that buffers, sets, maps, dates and
 * `undefined` survive. A message longer than one frame goes in pieces; a trunk keeps their order.
 */
import { deserialize, serialize } from "node:v8";
import { NotPlain, plainCopy } from "../data/plain.js";

/** Longer messages are not sent. */
export const MESSAGE_BYTES_MAX = 64 * 1024 * 1024;

/** First byte of a payload: what the rest is. A receiver skips what it does not know. */
const Kind = { whole: 0, piece: 1 } as const;
/** kind:u8 message:u32 index:u16 count:u16 */
const PIECE_HEAD_BYTES = 9;

/** A payload that cannot be read. */
export class PayloadError extends Error {
  override readonly name = "PayloadError";
}

/**
 * What cannot go (see `plain.ts`) is left out; functions and symbols without a word, as a JSON encoder would.
 * @throws NotPlain when the message is too long
 */
export function encodeMessage(message: object, onLeftOut: (left: NotPlain) => void): Buffer {
  return encode(plainCopy(message, { bytesMax: MESSAGE_BYTES_MAX, onLeftOut }, ""));
}

/** The whole state or nothing: @throws NotPlain at the first part of it that cannot go, or when it is too long */
export function encodeState(state: object, bytesMax: number): Buffer {
  return encode(plainCopy(state, { bytesMax }, ""));
}

function encode(plain: unknown): Buffer {
  try {
    return serialize(plain);
  } catch {
    // Bytes that were taken away from their owner, for instance.
    throw new NotPlain(["data"], "cannot be written");
  }
}

/** @param number differs from message to message of one sender */
export function toPayloads(message: Buffer, payloadBytesMax: number, number: number): Buffer[] {
  if (message.length < payloadBytesMax) return [Buffer.concat([Buffer.of(Kind.whole), message])];
  const room = payloadBytesMax - PIECE_HEAD_BYTES;
  const count = Math.ceil(message.length / room);
  const payloads: Buffer[] = [];
  for (let index = 0; index < count; index++) {
    const head = Buffer.alloc(PIECE_HEAD_BYTES);
    head.writeUInt8(Kind.piece, 0);
    head.writeUInt32BE(number >>> 0, 1);
    head.writeUInt16BE(index, 5);
    head.writeUInt16BE(count, 7);
    payloads.push(Buffer.concat([head, message.subarray(index * room, (index + 1) * room)]));
  }
  return payloads;
}

/** Puts together what one app server sends. A node may drop relays: what then misses a piece is given up. */
export class Assembler {
  private number = -1;
  private pieces: Buffer[] = [];
  private bytes = 0;

  /** Returns the message that this payload completes, if it does. @throws PayloadError */
  add(payload: Buffer): unknown {
    switch (payload[0]) {
      case Kind.whole:
        return decodeMessage(payload.subarray(1));
      case Kind.piece:
        return this.addPiece(payload);
      case undefined:
        throw new PayloadError("it is empty");
      default:
        return undefined;
    }
  }

  private addPiece(payload: Buffer): unknown {
    if (payload.length <= PIECE_HEAD_BYTES) throw new PayloadError("a piece is cut off");
    const number = payload.readUInt32BE(1);
    const index = payload.readUInt16BE(5);
    const count = payload.readUInt16BE(7);
    if (index === 0) this.begin(number);
    if (number !== this.number || index !== this.pieces.length || index >= count || this.bytes + payload.length > MESSAGE_BYTES_MAX) {
      this.begin(-1);
      throw new PayloadError("a piece of a longer message is missing or too much");
    }
    this.pieces.push(payload.subarray(PIECE_HEAD_BYTES));
    this.bytes += payload.length;
    if (this.pieces.length < count) return undefined;
    const whole = Buffer.concat(this.pieces);
    this.begin(-1);
    return decodeMessage(whole);
  }

  private begin(number: number): void {
    this.number = number;
    this.pieces = [];
    this.bytes = 0;
  }
}

export function decodeMessage(bytes: Buffer): unknown {
  try {
    return deserialize(bytes);
  } catch (error) {
    throw new PayloadError(error instanceof Error ? error.message : String(error));
  }
}
