/** Reads the fields of frames from one batch (`spec/trunk.md`, section 2). */
import { readText } from "../data/text.js";
import { findShared, keepShared, SHARED_BYTES_MAX } from "./shared.js";

/** The rules that a peer can break; the names are those of `spec/vectors/frames.json`. */
export type DecodeRule =
  | "truncated"
  | "leftover_bytes"
  | "varint_not_shortest"
  | "varint_too_large"
  | "bad_utf8"
  | "unknown_type"
  | "undefined_flag"
  | "undefined_value"
  | "too_long"
  | "list_count";

/** An error of a batch that breaks a rule. */
export class DecodeError extends Error {
  readonly rule: DecodeRule;

  constructor(rule: DecodeRule, what: string) {
    super(`${what} (${rule})`);
    this.name = "DecodeError";
    this.rule = rule;
  }
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A reader of one batch. */
export class Reader {
  private readonly buf: Buffer;
  /** The position of the next field. */
  pos = 0;
  /** The end of the readable bytes: the batch's end or, while a body is read, the body's end. */
  end: number;

  constructor(batch: Buffer) {
    this.buf = batch;
    this.end = batch.length;
  }

  u8(what: string): number {
    if (this.pos >= this.end) throw new DecodeError("truncated", `${what} is missing`);
    return this.buf[this.pos++] as number;
  }

  varint(what: string): number {
    let byte = this.u8(what);
    if (byte < 0x80) return byte;
    let value = byte & 0x7f;
    // A product instead of a shift, because the fifth byte may exceed 31 bits.
    for (let index = 1, weight = 0x80; index < 5; index++, weight *= 0x80) {
      byte = this.u8(what);
      value += (byte & 0x7f) * weight;
      if (byte >= 0x80) continue;
      if (byte === 0) throw new DecodeError("varint_not_shortest", `${what} is not in its shortest form`);
      if (value > 0xffff_ffff) break;
      return value;
    }
    throw new DecodeError("varint_too_large", `${what} does not fit in 32 bits`);
  }

  str(what: string): string {
    return this.utf8(this.varint(what), what);
  }

  /** A text like {@link Reader.text}, for texts that many clients send: usually an existing string is reused. */
  shared(what: string): string {
    const length = this.varint(what);
    if (length > SHARED_BYTES_MAX) return this.utf8(length, what);
    this.need(length, what);
    const found = findShared(this.buf, this.pos, length);
    if (found !== undefined) {
      this.pos += length;
      return found;
    }
    const start = this.pos;
    const text = this.utf8(length, what);
    keepShared(this.buf.subarray(start, this.pos), text);
    return text;
  }

  bytes(what: string): Buffer {
    const length = this.varint(what);
    this.need(length, what);
    const slice = this.buf.subarray(this.pos, this.pos + length);
    this.pos += length;
    return slice;
  }

  rest(): Buffer {
    const slice = this.buf.subarray(this.pos, this.end);
    this.pos = this.end;
    return slice;
  }

  /** The remaining bytes as text. A client's text is not checked here: as in Socket.IO, the parser does that. */
  restText(): string {
    const text = readText(this.buf, this.pos, this.end);
    this.pos = this.end;
    return text;
  }

  restStr(bytesMax: number, what: string): string {
    const length = this.end - this.pos;
    if (length > bytesMax)
      throw new DecodeError("too_long", `${what} has ${length} bytes, at most ${bytesMax} are allowed`);
    return this.utf8(length, what);
  }

  list<T>(what: string, itemBytesMin: number, item: (reader: Reader) => T): T[] {
    const count = this.count(what, itemBytesMin);
    const items: T[] = [];
    for (let index = 0; index < count; index++) items.push(item(this));
    return items;
  }

  /**
   * The number of a list's items.
   * @param itemBytesMin the fewest bytes of an item: limits the number before anything is allocated for it
   */
  count(what: string, itemBytesMin: number): number {
    const count = this.varint(what);
    if (count * itemBytesMin > this.end - this.pos) {
      throw new DecodeError("list_count", `${what} announces ${count} items, more than its bytes can hold`);
    }
    return count;
  }

  need(length: number, what: string): void {
    if (length > this.end - this.pos) throw new DecodeError("truncated", `${what} is cut off`);
  }

  /** Whether bytes as long as these are left, and the first is the same. */
  startsLike(bytes: Buffer): boolean {
    return bytes.length <= this.end - this.pos && bytes[0] === this.buf[this.pos];
  }

  /** Whether a part of these bytes is at the same distance from the reader's position. */
  has(bytes: Buffer, start: number, end: number): boolean {
    return this.buf.compare(bytes, start, end, this.pos + start, this.pos + end) === 0;
  }

  /** A copy of what was read since this position. */
  copyFrom(start: number): Buffer {
    return Buffer.from(this.buf.subarray(start, this.pos));
  }

  utf8(length: number, what: string): string {
    this.need(length, what);
    const start = this.pos;
    this.pos += length;
    const text = readText(this.buf, start, this.pos);
    // The lenient decoder marks errors with U+FFFD; only then is the slow, strict decoder needed.
    if (text.includes("\ufffd")) {
      try {
        return strictUtf8.decode(this.buf.subarray(start, this.pos));
      } catch {
        throw new DecodeError("bad_utf8", `${what} is not UTF-8`);
      }
    }
    return text;
  }
}
