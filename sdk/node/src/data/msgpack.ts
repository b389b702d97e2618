/**
 * Writes MessagePack into one growing buffer, each value in its shortest form (`spec/relay.md`, section 2). Texts must
 * be well-formed.
 */
import { writeText } from "./text.js";

const BYTES_MIN = 4 * 1024;
/** The largest buffer that is kept for the next payload. */
const SPARE_BYTES_MAX = 64 * 1024;
/** Texts up to this length are written without a call into native code, which would take longer. */
const SHORT_UNITS_MAX = 40;
/** The most bytes of the head of any value. */
const HEAD_BYTES_MAX = 5;

let spare: Buffer | undefined = Buffer.allocUnsafeSlow(BYTES_MIN);

/** A writer of MessagePack. */
export class PackWriter {
  pos = 0;
  private buf: Buffer;

  constructor() {
    // The spare buffer has one user at a time: the app's code, which runs while a payload is written, may write another.
    this.buf = spare ?? Buffer.allocUnsafeSlow(BYTES_MIN);
    spare = undefined;
  }

  /**
   * A copy of the written bytes, after these. The writer must not be used again.
   * @param allocate makes its buffer
   */
  finish(head: Uint8Array, allocate: (bytes: number) => Buffer = Buffer.allocUnsafeSlow): Buffer {
    const whole = allocate(head.length + this.pos);
    whole.set(head);
    whole.set(this.buf.subarray(0, this.pos), head.length);
    this.giveUp();
    return whole;
  }

  /** Ends the use of the writer. */
  giveUp(): void {
    if (this.buf.length <= SPARE_BYTES_MAX) spare = this.buf;
  }

  /** The byte that was written at a position. */
  at(pos: number): number | undefined {
    return this.buf[pos];
  }

  nil(): void {
    this.byte(0xc0);
  }

  bool(value: boolean): void {
    this.byte(value ? 0xc3 : 0xc2);
  }

  number(value: number): void {
    this.reserve(9);
    if (value >>> 0 === value) {
      if (value < 0x80) this.buf[this.pos++] = value;
      else if (value < 0x100) this.sized(0xcc, value, 1);
      else if (value < 0x1_0000) this.sized(0xcd, value, 2);
      else this.sized(0xce, value, 4);
    } else if ((value | 0) === value) {
      if (value >= -0x20) this.buf[this.pos++] = value;
      else if (value >= -0x80) this.sized(0xd0, value, 1);
      else if (value >= -0x8000) this.sized(0xd1, value, 2);
      else this.sized(0xd2, value, 4);
    } else {
      this.buf[this.pos] = 0xcb;
      this.pos = this.buf.writeDoubleBE(value, this.pos + 1);
    }
  }

  /** Writes a short text of ASCII. Returns false, and writes nothing, if the text is another one. */
  ascii(text: string): boolean {
    const { length } = text;
    if (length > SHORT_UNITS_MAX) return false;
    this.reserve(length + 2);
    const { buf } = this;
    let at = this.pos + (length < 32 ? 1 : 2);
    for (let index = 0; index < length; index++) {
      const unit = text.charCodeAt(index);
      if (unit >= 0x80) return false;
      buf[at++] = unit;
    }
    if (length < 32) buf[this.pos] = 0xa0 | length;
    else {
      buf[this.pos] = 0xd9;
      buf[this.pos + 1] = length;
    }
    this.pos = at;
    return true;
  }

  text(text: string): void {
    if (this.ascii(text)) return;
    const bytes = Buffer.byteLength(text);
    this.reserve(bytes + HEAD_BYTES_MAX);
    if (bytes < 32) this.buf[this.pos++] = 0xa0 | bytes;
    else if (bytes < 0x100) this.sized(0xd9, bytes, 1);
    else if (bytes < 0x1_0000) this.sized(0xda, bytes, 2);
    else this.sized(0xdb, bytes, 4);
    this.pos += writeText(this.buf, text, this.pos);
  }

  bytes(data: Uint8Array): void {
    const { length } = data;
    this.reserve(length + HEAD_BYTES_MAX);
    if (length < 0x100) this.sized(0xc4, length, 1);
    else if (length < 0x1_0000) this.sized(0xc5, length, 2);
    else this.sized(0xc6, length, 4);
    this.buf.set(data, this.pos);
    this.pos += length;
  }

  /** Begins a list: its items follow. */
  list(items: number): void {
    this.reserve(HEAD_BYTES_MAX);
    if (items < 16) this.buf[this.pos++] = 0x90 | items;
    else if (items < 0x1_0000) this.sized(0xdc, items, 2);
    else this.sized(0xdd, items, 4);
  }

  /** Begins a map: its keys and values follow in turn. */
  map(entries: number): void {
    this.reserve(HEAD_BYTES_MAX);
    if (entries < 16) this.buf[this.pos++] = 0x80 | entries;
    else if (entries < 0x1_0000) this.sized(0xde, entries, 2);
    else this.sized(0xdf, entries, 4);
  }

  /** Replaces what was written between two positions by what `write` writes; what is after them moves. */
  replace(from: number, to: number, write: () => void): void {
    const rest = Buffer.from(this.buf.subarray(to, this.pos));
    this.pos = from;
    write();
    this.reserve(rest.length);
    this.buf.set(rest, this.pos);
    this.pos += rest.length;
  }

  private byte(value: number): void {
    this.reserve(1);
    this.buf[this.pos++] = value;
  }

  /** Writes a type and an integer of 1, 2 or 4 bytes where there is room already. */
  private sized(type: number, value: number, bytes: 1 | 2 | 4): void {
    const { buf } = this;
    buf[this.pos++] = type;
    if (bytes === 4) {
      buf[this.pos++] = value >>> 24;
      buf[this.pos++] = value >>> 16;
    }
    if (bytes !== 1) buf[this.pos++] = value >>> 8;
    buf[this.pos++] = value;
  }

  private reserve(bytes: number): void {
    const needed = this.pos + bytes;
    if (needed > this.buf.length) this.grow(needed);
  }

  private grow(needed: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.buf.length * 2));
    this.buf.copy(grown, 0, 0, this.pos);
    this.buf = grown;
  }
}
