/**
 * Encodes messages among app servers as the payloads of `Relay` frames (`spec/relay.md`, section 1). A message longer
 * than one frame is sent in pieces; a trunk keeps their order.
 */
import { FORMAT, pack, unpack } from "../data/pack.js";
import { NotPlain, type LeftOut } from "../data/not_plain.js";
import type { PlainLimits } from "../data/limits.js";
import { Unreadable } from "../data/unreadable.js";
import { MessageType } from "../socketio/types.js";
import type { MessageData } from "./messages.js";

/** The longest message that is sent. */
export const MESSAGE_BYTES_MAX = 64 * 1024 * 1024;
/** The most values in one message: far more than a message has unless it creates new values endlessly. */
const MESSAGE_VALUES_MAX = 1 << 22;

/** The first byte of a payload, which says what the rest is. A complete message begins with its own format byte. */
const Kind = { whole: FORMAT, piece: 3 } as const;
/** The bytes before a piece: kind:u8 message:u32 index:u16 count:u16 */
const PIECE_HEAD_BYTES = 9;

/**
 * Encodes a message. Values that cannot be sent (see `plain.ts`) are left out; functions and symbols silently, as in
 * JSON.
 * @param how whether all receivers read form 2, and whether each `Part` of it is left out
 * @throws NotPlain when the message is too long
 */
export function encodeMessage(
  type: number,
  nsp: string,
  data: MessageData,
  onLeftOut: (left: LeftOut) => void,
  how: Pick<PlainLimits, "sharesParts" | "withoutParts"> = {},
): Buffer {
  const parts = data.parts?.map((part) =>
    typeof part === "string" ? part : Buffer.from(part.buffer, part.byteOffset, part.byteLength),
  );
  // A field with the value undefined is left out.
  const said = Object.entries({ ...data, parts }).filter(([, value]) => value !== undefined);
  // Descriptions of sockets are made for this message, except for their parts.
  const ownsRest = type === MessageType.FETCH_SOCKETS_RESPONSE;
  const limits = { bytesMax: MESSAGE_BYTES_MAX, valuesMax: MESSAGE_VALUES_MAX, onLeftOut, ownsRest, ...how };
  const message = pack({ type, nsp, data: Object.fromEntries(said) }, limits, "");
  if (message.length > MESSAGE_BYTES_MAX)
    throw new NotPlain(["data"], `has ${message.length} bytes, which are more than ${MESSAGE_BYTES_MAX}`);
  return message;
}

/**
 * Splits a message into payloads.
 * @param number differs from message to message of one sender
 */
export function toPayloads(message: Buffer, payloadBytesMax: number, number: number): Buffer[] {
  if (message.length <= payloadBytesMax) return [message];
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

/** Joins the pieces of one app server's messages. A node may drop relays: a message that misses a piece is dropped. */
export class Assembler {
  private number = -1;
  private pieces: Buffer[] = [];
  private bytes = 0;

  /** Adds a payload. Returns the message that it completes, if any. @throws Unreadable */
  add(payload: Buffer): unknown {
    switch (payload[0]) {
      case Kind.piece:
        return this.addPiece(payload);
      default:
        return unpack(payload);
    }
  }

  private addPiece(payload: Buffer): unknown {
    if (payload.length <= PIECE_HEAD_BYTES) throw new Unreadable("a piece is cut off");
    const number = payload.readUInt32BE(1);
    const index = payload.readUInt16BE(5);
    const count = payload.readUInt16BE(7);
    if (index === 0) this.begin(number);
    if (
      number !== this.number ||
      index !== this.pieces.length ||
      index >= count ||
      this.bytes + payload.length > MESSAGE_BYTES_MAX
    ) {
      this.begin(-1);
      throw new Unreadable("a piece of a longer message is missing or too much");
    }
    this.pieces.push(payload.subarray(PIECE_HEAD_BYTES));
    this.bytes += payload.length;
    if (this.pieces.length < count) return undefined;
    const whole = Buffer.concat(this.pieces);
    this.begin(-1);
    return unpack(whole);
  }

  private begin(number: number): void {
    this.number = number;
    this.pieces = [];
    this.bytes = 0;
  }
}
