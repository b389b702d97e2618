/**
 * Reads MessagePack with tagged values (`spec/relay.md`, sections 1 to 3). No length is believed: nothing is allocated
 * for more items than there are bytes, nothing is deeper than our own payloads, and extension types, which decoders
 * handle in different ways, are refused.
 */
import { readText } from "./text.js";
import { Tables } from "./tables.js";
import { bigintOf, bytesOf, errorOf, illFormed, regexpOf, Tag } from "./tags.js";
import { Unreadable } from "./unreadable.js";

/** What we send is at most 100 levels deep; each is one level of lists and maps, and a tagged leaf adds one. */
const NESTING_MAX = 128;
/** Lists up to this length are allocated at once; longer lists grow item by item. */
const ROOM_ITEMS_MAX = 64;
/** Longer texts are rarely the same twice. */
const RECENT_BYTES_MAX = 40;
const NIL = 0xc0;
const UNREAD: unknown = undefined;

/** The number of items after each tag; tags that are not listed take any number, or any number of pairs. */
const ITEMS: Readonly<Record<number, number>> = {
  [Tag.undefined]: 0,
  [Tag.bigint]: 1,
  [Tag.negativeZero]: 0,
  [Tag.date]: 1,
  [Tag.regexp]: 2,
  [Tag.error]: 3,
  [Tag.bytes]: 2,
  [Tag.reference]: 1,
  [Tag.text]: 1,
  [Tag.number]: 1,
};

/** How a payload is read: its values may be tagged, and share parts. */
export interface Reading {
  readonly isTagged: boolean;
  readonly sharesParts: boolean;
  /** The most values. */
  readonly valuesMax: number;
}

/** Reads bytes that are one value. @throws Unreadable, and errors of the runtime for values without end */
export function readPlain(bytes: Buffer, reading: Reading): unknown {
  return new PlainReader(bytes, reading).readAll();
}

class PlainReader {
  private readonly buf: Buffer;
  private readonly end: number;
  private readonly reading: Reading;
  private pos = 0;
  private values = 0;
  private depth = 0;
  private isTagged = false;
  private tables: Tables | undefined;
  private readonly keys = new RecentTexts();
  private readonly recent = new RecentTexts();
  /** Lists, records, maps and sets, in the order in which they begin: references are positions in this list. */
  private readonly containers: unknown[] = [];

  constructor(bytes: Buffer, reading: Reading) {
    this.buf = bytes;
    this.end = bytes.length;
    this.reading = reading;
  }

  readAll(): unknown {
    if (this.reading.sharesParts) {
      if (this.byte() !== 0x93) throw new Unreadable("it has no tables");
      this.enter(3);
      this.tables = new Tables(this.value(), this.value());
      this.containers.length = 0;
    }
    this.isTagged = this.reading.isTagged;
    const value = this.value();
    if (this.pos !== this.end) throw new Unreadable("there is more than one value");
    return value;
  }

  private value(): unknown {
    const type = this.byte();
    if (type < 0x80) return type;
    if (type < 0x90) return this.record(type & 0x0f);
    if (type < 0xa0) return this.list(type & 0x0f);
    if (type < 0xc0) return this.text(type & 0x1f);
    if (type >= 0xe0) return this.number(type - 0x100);
    switch (type) {
      case NIL:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.bytes(this.unsigned(1 << (type - 0xc4)));
      case 0xca:
        return this.number(this.buf.readFloatBE(this.skip(4)));
      case 0xcb:
        return this.number(this.buf.readDoubleBE(this.skip(8)));
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.unsigned(1 << (type - 0xcc));
      case 0xcf:
        return this.unsigned(4) * 2 ** 32 + this.unsigned(4);
      case 0xd0:
        return this.number(this.buf.readInt8(this.skip(1)));
      case 0xd1:
        return this.number(this.buf.readInt16BE(this.skip(2)));
      case 0xd2:
        return this.number(this.buf.readInt32BE(this.skip(4)));
      case 0xd3:
        return this.number(this.buf.readInt32BE(this.skip(4)) * 2 ** 32 + this.unsigned(4));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.text(this.unsigned(1 << (type - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.list(this.unsigned(2 << (type - 0xdc)));
      case 0xde:
      case 0xdf:
        return this.record(this.unsigned(2 << (type - 0xde)));
      default:
        throw new Unreadable(`it has a value of type 0x${type.toString(16)}`);
    }
  }

  private number(value: number): number | string {
    return value < 0 && this.tables !== undefined ? this.tables.text(value) : value;
  }

  private text(length: number): string {
    const start = this.skip(length);
    return length <= RECENT_BYTES_MAX ? this.recent.text(this.buf, start, length) : readText(this.buf, start, this.pos);
  }

  private bytes(length: number): Buffer {
    const start = this.skip(length);
    return Buffer.from(this.buf.subarray(start, this.pos));
  }

  private record(size: number): unknown {
    const record: Record<string, unknown> = {};
    this.containers.push(record);
    this.enter(2 * size);
    for (let index = 0; index < size; index++) {
      const key = this.key();
      put(record, key, this.value());
    }
    this.depth--;
    return record;
  }

  private key(): string {
    const type = this.byte();
    let length: number;
    if (type >= 0xa0 && type < 0xc0) length = type & 0x1f;
    else if (type >= 0xd9 && type <= 0xdb) length = this.unsigned(1 << (type - 0xd9));
    else throw new Unreadable("a key is no text");
    const start = this.skip(length);
    return this.keys.text(this.buf, start, length);
  }

  private list(length: number): unknown {
    this.enter(length);
    const isTagged = this.isTagged && length > 0 && this.buf[this.pos] === NIL;
    const value = isTagged ? this.tagged(length) : this.items(length);
    this.depth--;
    return value;
  }

  private items(length: number): unknown[] {
    const list: unknown[] = length <= ROOM_ITEMS_MAX ? new Array<unknown>(length) : [];
    this.containers.push(list);
    for (let index = 0; index < length; index++) list[index] = this.value();
    return list;
  }

  private tagged(length: number): unknown {
    this.pos++;
    const tag = length > 1 ? this.untagged() : undefined;
    if (typeof tag !== "number") throw new Unreadable(`tag ${typeof tag} is not known`);
    const rest = length - 2;
    const expected = ITEMS[tag];
    if (expected !== undefined && rest !== expected) throw new Unreadable(`tag ${tag} has not its items`);
    switch (tag) {
      case Tag.list:
        return this.items(rest);
      case Tag.undefined:
        return undefined;
      case Tag.bigint:
        return bigintOf(this.someText());
      case Tag.negativeZero:
        return -0;
      case Tag.date:
        return new Date(this.someNumber());
      case Tag.regexp:
        return regexpOf(this.someText(), this.someText());
      case Tag.error:
        return errorOf(this.someText(), this.someText(), this.textOrNil());
      case Tag.map:
        return this.map(rest);
      case Tag.set:
        return this.set(rest);
      case Tag.record:
        return this.pairs(rest);
      case Tag.bytes:
        return bytesOf(this.someText(), this.value());
      case Tag.reference:
        return this.reference();
      case Tag.text:
        return illFormed(this.someText());
      case Tag.number:
        return this.negative();
      case Tag.shaped:
        return this.shaped(rest);
      default:
        throw new Unreadable(`tag ${tag} is not known`);
    }
  }

  /** A value that must be a text, plain or tagged. */
  private someText(): string {
    const value = this.value();
    if (typeof value !== "string") throw new Unreadable("a text is missing");
    return value;
  }

  private textOrNil(): string | undefined {
    if (this.buf[this.pos] !== NIL) return this.someText();
    this.pos++;
    return undefined;
  }

  /** A value in which a negative number is a number. */
  private untagged(): unknown {
    const { tables } = this;
    this.tables = undefined;
    const value = this.value();
    this.tables = tables;
    return value;
  }

  private someNumber(): number {
    const value = this.untagged();
    if (typeof value !== "number") throw new Unreadable("a number is missing");
    return value;
  }

  private negative(): number {
    const value = this.someNumber();
    if (this.tables === undefined || value >= 0) throw new Unreadable("a number needs no tag here");
    return value;
  }

  private reference(): unknown {
    const number = this.someNumber();
    if (!(number in this.containers)) throw new Unreadable("it refers to a value that is not there");
    return this.containers[number];
  }

  private shaped(rest: number): unknown {
    const { tables } = this;
    if (tables === undefined || rest === 0) throw new Unreadable("it has no shapes");
    const { keys, isSocket, isHandshake } = tables.shape(this.untagged());
    if (rest - 1 !== keys.length) throw new Unreadable("a record has not the values of its shape");
    if (isSocket) return this.socket();
    if (isHandshake) return this.handshake();
    const record: Record<string, unknown> = {};
    this.containers.push(record);
    for (let index = 0; index < keys.length; index++) record[keys[index] as string] = this.value();
    return record;
  }

  /** The description of a socket. Answers have thousands, and V8 makes objects of known keys several times faster. */
  private socket(): unknown {
    const socket = { id: UNREAD, rooms: UNREAD, handshake: UNREAD, data: UNREAD };
    this.containers.push(socket);
    socket.id = this.value();
    socket.rooms = this.value();
    socket.handshake = this.value();
    socket.data = this.value();
    return socket;
  }

  private handshake(): unknown {
    const handshake = {
      headers: UNREAD,
      time: UNREAD,
      address: UNREAD,
      xdomain: UNREAD,
      secure: UNREAD,
      issued: UNREAD,
      url: UNREAD,
      query: UNREAD,
      auth: UNREAD,
    };
    this.containers.push(handshake);
    handshake.headers = this.value();
    handshake.time = this.value();
    handshake.address = this.value();
    handshake.xdomain = this.value();
    handshake.secure = this.value();
    handshake.issued = this.value();
    handshake.url = this.value();
    handshake.query = this.value();
    handshake.auth = this.value();
    return handshake;
  }

  private map(rest: number): unknown {
    const map = new Map<unknown, unknown>();
    this.containers.push(map);
    checkPairs(rest);
    for (let index = 0; index < rest; index += 2) {
      // Not in one expression: the key must be read first.
      const key = this.value();
      map.set(key, this.value());
    }
    return map;
  }

  private set(rest: number): unknown {
    const set = new Set<unknown>();
    this.containers.push(set);
    for (let index = 0; index < rest; index++) set.add(this.value());
    return set;
  }

  private pairs(rest: number): unknown {
    const record: Record<string, unknown> = {};
    this.containers.push(record);
    checkPairs(rest);
    for (let index = 0; index < rest; index += 2) {
      const key = this.someText();
      put(record, key, this.value());
    }
    return record;
  }

  /** Begins a container. Its items are read next, and then `depth` is one less again. */
  private enter(items: number): void {
    if (this.depth >= NESTING_MAX) throw new Unreadable(`it is more than ${NESTING_MAX} levels deep`);
    if (items > this.end - this.pos) throw new Unreadable("it is cut off");
    this.depth++;
    this.values += items;
    const { valuesMax } = this.reading;
    if (this.values >= valuesMax) throw new Unreadable(`it has more than ${valuesMax} values`);
  }

  private byte(): number {
    if (this.pos >= this.end) throw new Unreadable("it is cut off");
    return this.buf[this.pos++] as number;
  }

  private unsigned(bytes: number): number {
    const at = this.skip(bytes);
    const { buf } = this;
    if (bytes === 1) return buf[at] as number;
    if (bytes === 2) return buf.readUInt16BE(at);
    return buf.readUInt32BE(at);
  }

  /** Moves over bytes. Returns where they begin. */
  private skip(bytes: number): number {
    const at = this.pos;
    if (bytes > this.end - at) throw new Unreadable("it is cut off");
    this.pos = at + bytes;
    return at;
  }
}

/** Texts that were read lately and may follow again: finding one takes less time than making it. */
class RecentTexts {
  private readonly places: (string | undefined)[] = [];

  text(buf: Buffer, start: number, length: number): string {
    const place = length === 0 ? 0 : ((buf[start] as number) + 7 * (buf[start + length - 1] as number) + length) & 0x3f;
    const known = this.places[place];
    if (known?.length === length && isAt(buf, start, known)) return known;
    return (this.places[place] = readText(buf, start, start + length));
  }
}

/** Whether this text of ASCII is there. */
function isAt(buf: Buffer, start: number, text: string): boolean {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) !== buf[start + index]) return false;
  return true;
}

/** Sets a property, whatever its key: an assignment to the key `__proto__` would set the prototype. */
function put(record: Record<string, unknown>, key: string, value: unknown): void {
  if (key !== "__proto__") record[key] = value;
  else Object.defineProperty(record, key, { value, writable: true, enumerable: true, configurable: true });
}

function checkPairs(items: number): void {
  if (items % 2 !== 0) throw new Unreadable("a key has no value");
}
