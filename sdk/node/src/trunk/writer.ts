/**
 * Appends frames to one growing buffer (`spec/trunk.md`, section 2). Text is written directly as UTF-8, without a
 * buffer of its own.
 */
import { writeText } from "../data/text.js";

const BYTES_MIN = 4 * 1024;
/**
 * The longest text, in UTF-16 units, for which the most bytes that UTF-8 may need are reserved; its length is found by
 * writing. Longer text is measured first.
 */
const RESERVED_UNITS_MAX = 16 * 1024;

/** A writer of frames. */
export class Writer {
  buf: Buffer;
  pos = 0;
  /** The number of bytes reserved for the length of the current frame. */
  private lengthBytes = 1;

  constructor(buf: Buffer = Buffer.allocUnsafeSlow(BYTES_MIN)) {
    this.buf = buf;
  }

  /** Returns the written bytes, and continues in another buffer. */
  take(next: Buffer = Buffer.allocUnsafeSlow(BYTES_MIN)): Buffer {
    const taken = this.buf.subarray(0, this.pos);
    this.buf = next;
    this.pos = 0;
    return taken;
  }

  /**
   * Starts a frame. Returns the position of its body, which {@link Writer.finish} needs.
   * @param bodyBytesGuess room for a length of this size is reserved before the body; a wrong guess costs one move of
   * the body
   */
  begin(type: number, bodyBytesGuess = 0): number {
    this.lengthBytes = varintBytes(bodyBytesGuess);
    this.reserve(1 + this.lengthBytes);
    this.buf[this.pos] = type;
    this.pos += 1 + this.lengthBytes;
    return this.pos;
  }

  /** Ends a frame: writes its length before its body. Returns the length of the body in bytes. */
  finish(start: number): number {
    const length = this.pos - start;
    if (length >= 0x80 || this.lengthBytes !== 1) return this.finishLong(start, length);
    this.buf[start - 1] = length;
    return length;
  }

  u8(value: number): void {
    this.reserve(1);
    this.buf[this.pos++] = value;
  }

  varint(value: number): void {
    if (value >= 0x80) return this.longVarint(value);
    this.reserve(1);
    this.buf[this.pos++] = value;
  }

  str(text: string): void {
    if (text.length < 40) {
      // At most 120 bytes of UTF-8, so the length fits in one byte for any text.
      this.reserve(1 + text.length * 3);
      const written = writeText(this.buf, text, this.pos + 1);
      this.buf[this.pos] = written;
      this.pos += 1 + written;
      return;
    }
    this.varint(Buffer.byteLength(text));
    this.rawText(text);
  }

  strs(list: Iterable<string> & { readonly length: number }): void {
    this.varint(list.length);
    for (const text of list) this.str(text);
  }

  bytes(data: Uint8Array): void {
    this.varint(data.length);
    this.raw(data);
  }

  raw(data: Uint8Array): void {
    this.reserve(data.length);
    this.buf.set(data, this.pos);
    this.pos += data.length;
  }

  rawText(text: string): void {
    this.reserve(text.length <= RESERVED_UNITS_MAX ? text.length * 3 : Buffer.byteLength(text));
    this.pos += writeText(this.buf, text, this.pos);
  }

  reserve(bytes: number): void {
    const needed = this.pos + bytes;
    if (needed <= this.buf.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.buf.length * 2));
    this.buf.copy(grown, 0, 0, this.pos);
    this.buf = grown;
  }

  private finishLong(start: number, length: number): number {
    const shift = varintBytes(length) - this.lengthBytes;
    if (shift !== 0) {
      this.reserve(shift);
      this.buf.copyWithin(start + shift, start, this.pos);
    }
    const end = this.pos + shift;
    this.pos = start - this.lengthBytes;
    this.putVarint(length);
    this.pos = end;
    return length;
  }

  private longVarint(value: number): void {
    this.reserve(5);
    this.putVarint(value);
  }

  /** Writes a varint where there is room already. */
  private putVarint(value: number): void {
    let left = value;
    while (left >= 0x80) {
      this.buf[this.pos++] = (left % 0x80) | 0x80;
      left = Math.floor(left / 0x80);
    }
    this.buf[this.pos++] = left;
  }
}

function varintBytes(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  return value < 0x1000_0000 ? 4 : 5;
}
