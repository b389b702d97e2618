/**
 * Messages among app servers as the bytes of `Relay` frames: Node.js's own structured serialization, so that buffers, sets, maps, dates and
 * `undefined` survive. A message longer than one frame goes in pieces; a trunk keeps their order.
 */
import { deserialize, serialize } from "node:v8";

/** Longer messages are not sent. */
export const MESSAGE_BYTES_MAX = 64 * 1024 * 1024;

/** First byte of a payload: what the rest is. A receiver skips what it does not know. */
const Kind = { whole: 0, piece: 1 } as const;
/** kind:u8 message:u32 index:u16 count:u16 */
const PIECE_HEAD_BYTES = 9;
const DEPTH_MAX = 200;

/** A payload that cannot be read. */
export class PayloadError extends Error {
  override readonly name = "PayloadError";
}

/** What cannot be cloned (functions, symbols) is left out, as a JSON encoder would. */
export function encodeMessage(message: object): Buffer {
  try {
    return serialize(message);
  } catch {
    return serialize(cloneable(message, new Map(), 0));
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

/** A copy without what cannot be cloned. Objects that know their JSON are taken by it. */
function cloneable(value: unknown, seen: Map<object, unknown>, depth: number): unknown {
  if (typeof value === "function" || typeof value === "symbol" || depth > DEPTH_MAX) return undefined;
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return value;
  if (value instanceof Date || value instanceof RegExp) return value;
  const known = seen.get(value);
  if (known !== undefined) return known;
  const copy = (inner: unknown): unknown => cloneable(inner, seen, depth + 1);
  if (value instanceof Error) return copy({ ...value, name: value.name, message: value.message });
  const { toJSON } = value as { toJSON?: unknown };
  if (typeof toJSON === "function") return copy(toJSON.call(value));
  if (Array.isArray(value)) {
    const list: unknown[] = [];
    seen.set(value, list);
    for (const item of value as unknown[]) list.push(copy(item));
    return list;
  }
  if (value instanceof Map || value instanceof Set) {
    const items = [...value].map(copy);
    return value instanceof Map ? new Map(items as [unknown, unknown][]) : new Set(items);
  }
  const plain: Record<string, unknown> = {};
  seen.set(value, plain);
  for (const [key, inner] of Object.entries(value)) if (typeof inner !== "function") plain[key] = copy(inner);
  return plain;
}
