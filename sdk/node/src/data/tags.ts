/**
 * Values that MessagePack cannot represent, as lists that begin with nil: `[nil, tag, …]` (`spec/relay.md`, section 3).
 * If a list of the app begins with nil, it is written as {@link Tag.list}, so that it is not taken for a tagged value.
 */
import type { Tables } from "./tables.js";
import { Unreadable } from "./unreadable.js";

/** The numbers of the tagged forms. */
export const Tag = {
  list: 0,
  undefined: 1,
  bigint: 2,
  negativeZero: 3,
  date: 4,
  regexp: 5,
  error: 6,
  map: 7,
  set: 8,
  record: 9,
  bytes: 10,
  reference: 11,
  text: 12,
  number: 13,
  shaped: 14,
} as const;

/** The number of items before the values of a record with a shape: nil, the tag, the shape's number. */
export const SHAPED_HEAD = 3;

type Tagged = readonly [null, number, ...unknown[]];
type View = { readonly buffer: ArrayBufferLike; readonly byteOffset: number; readonly byteLength: number };

const VIEWS = {
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  DataView,
} as const;
const ERRORS: Readonly<Record<string, ErrorConstructor>> = {
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

/**
 * Bytes with the name of their type; undefined for a type that other runtimes may not have.
 * @throws TypeError when the bytes were transferred to another owner
 */
export function taggedBytes(value: ArrayBuffer | View): Tagged | undefined {
  const name = Object.prototype.toString.call(value).slice("[object ".length, -1);
  if (name === "ArrayBuffer") return [null, Tag.bytes, name, Buffer.from(value as ArrayBuffer)];
  const { buffer, byteOffset, byteLength } = value as View;
  return Object.hasOwn(VIEWS, name)
    ? [null, Tag.bytes, name, Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength)]
    : undefined;
}

/** A bigint in base 16, which is parsed in linear time. */
export function bigintText(value: bigint): string {
  return value.toString(16);
}

/**
 * Replaces tagged forms by their values, in place where possible.
 * @param tables the shared texts and shapes, in a payload of form 2
 * @throws Unreadable
 */
export function revive(value: unknown, tables?: Tables): unknown {
  return new Reviver(tables).revive(value);
}

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

class Reviver {
  /** Lists, records, maps and sets, in the order in which they begin: references are positions in this list. */
  private readonly containers: unknown[] = [];
  private readonly tables: Tables | undefined;

  constructor(tables: Tables | undefined) {
    this.tables = tables;
  }

  revive(value: unknown): unknown {
    if (typeof value === "number") return value < 0 && this.tables !== undefined ? this.tables.text(value) : value;
    if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
    if (!Array.isArray(value)) return this.reviveRecord(value as Record<string, unknown>);
    if (value[0] !== null) return this.reviveList(value as unknown[]);
    if (value[1] === Tag.shaped && this.tables !== undefined) return this.reviveShaped(value, this.tables);
    return this.reviveTagged(value as unknown as Tagged);
  }

  private reviveRecord(record: Record<string, unknown>): unknown {
    this.containers.push(record);
    for (const key of Object.keys(record)) {
      const inner = record[key];
      if (typeof inner === "object" ? inner !== null : typeof inner === "number") record[key] = this.revive(inner);
    }
    return record;
  }

  private reviveShaped(list: unknown[], tables: Tables): unknown {
    const keys = tables.shape(list[2]);
    if (list.length !== SHAPED_HEAD + keys.length) throw new Unreadable("a record has not the values of its shape");
    const record: Record<string, unknown> = {};
    this.containers.push(record);
    for (let index = 0; index < keys.length; index++)
      record[keys[index] as string] = this.revive(list[SHAPED_HEAD + index]);
    return record;
  }

  private reviveList(list: unknown[]): unknown {
    this.containers.push(list);
    for (let index = 0; index < list.length; index++) list[index] = this.revive(list[index]);
    return list;
  }

  private reviveTagged([, tag, ...rest]: Tagged): unknown {
    const expected = ITEMS[tag];
    if (expected !== undefined && rest.length !== expected) throw new Unreadable(`tag ${tag} has not its items`);
    const [first, second, third] = rest;
    switch (tag) {
      case Tag.list:
        return this.reviveList(rest);
      case Tag.undefined:
        return undefined;
      case Tag.bigint:
        return bigintOf(this.text(first));
      case Tag.negativeZero:
        return -0;
      case Tag.date:
        return new Date(number(first));
      case Tag.regexp:
        return regexpOf(this.text(first), this.text(second));
      case Tag.error:
        return errorOf(this.text(first), this.text(second), third === null ? undefined : this.text(third));
      case Tag.map:
        return this.reviveMap(rest);
      case Tag.set:
        return this.reviveSet(rest);
      case Tag.record:
        return this.revivePairs(rest);
      case Tag.bytes:
        return bytesOf(this.text(first), second);
      case Tag.reference:
        if (typeof first !== "number" || !(first in this.containers))
          throw new Unreadable("it refers to a value that is not there");
        return this.containers[first];
      case Tag.text:
        return illFormed(this.text(first));
      case Tag.number:
        if (this.tables === undefined || number(first) >= 0) throw new Unreadable("a number needs no tag here");
        return first;
      default:
        throw new Unreadable(`tag ${String(tag)} is not known`);
    }
  }

  /** A value that must be a text, plain or tagged. */
  private text(value: unknown): string {
    const revived = this.revive(value);
    if (typeof revived !== "string") throw new Unreadable("a text is missing");
    return revived;
  }

  private reviveMap(pairs: unknown[]): unknown {
    const map = new Map<unknown, unknown>();
    this.containers.push(map);
    checkPairs(pairs);
    // Not in one expression: the key must be revived first.
    for (let index = 0; index < pairs.length; index += 2) {
      const key = this.revive(pairs[index]);
      map.set(key, this.revive(pairs[index + 1]));
    }
    return map;
  }

  private reviveSet(items: unknown[]): unknown {
    const set = new Set<unknown>();
    this.containers.push(set);
    for (const item of items) set.add(this.revive(item));
    return set;
  }

  private revivePairs(pairs: unknown[]): unknown {
    const record: Record<string, unknown> = {};
    this.containers.push(record);
    checkPairs(pairs);
    for (let index = 0; index < pairs.length; index += 2) {
      const key = this.text(pairs[index]);
      // An assignment to the key `__proto__` would set the prototype.
      Object.defineProperty(record, key, {
        value: this.revive(pairs[index + 1]),
        writable: true,
        enumerable: true,
        configurable: true,
      });
    }
    return record;
  }
}

function checkPairs(pairs: unknown[]): void {
  if (pairs.length % 2 !== 0) throw new Unreadable("a key has no value");
}

function number(value: unknown): number {
  if (typeof value !== "number") throw new Unreadable("a number is missing");
  return value;
}

function bigintOf(hex: string): bigint {
  const digits = hex.startsWith("-") ? hex.slice(1) : hex;
  if (!/^[0-9a-f]+$/.test(digits)) throw new Unreadable("a bigint has no digits");
  const value = BigInt(`0x${digits}`);
  return digits === hex ? value : -value;
}

function regexpOf(source: string, flags: string): RegExp {
  try {
    return new RegExp(source, flags);
  } catch {
    throw new Unreadable("a regular expression cannot be read");
  }
}

function errorOf(name: string, message: string, stack: string | undefined): Error {
  const Known = Object.hasOwn(ERRORS, name) ? ERRORS[name] : undefined;
  const error = Known === undefined ? new Error(message) : new Known(message);
  const hidden = (value: unknown): PropertyDescriptor => ({
    value,
    writable: true,
    enumerable: false,
    configurable: true,
  });
  if (error.name !== name) Object.defineProperty(error, "name", hidden(name));
  Object.defineProperty(error, "stack", hidden(stack));
  return error;
}

function bytesOf(name: string, value: unknown): unknown {
  if (!(value instanceof Uint8Array)) throw new Unreadable("bytes are missing");
  // A copy in memory of its own, so that its start is aligned.
  const { buffer } = new Uint8Array(value);
  if (name === "ArrayBuffer") return buffer;
  if (!Object.hasOwn(VIEWS, name)) throw new Unreadable(`bytes of type ${name} are not known`);
  const Type = VIEWS[name as keyof typeof VIEWS];
  const itemBytes = "BYTES_PER_ELEMENT" in Type ? Type.BYTES_PER_ELEMENT : 1;
  if (value.length % itemBytes !== 0) throw new Unreadable(`bytes are no ${name}`);
  return new (Type as new (buffer: ArrayBuffer) => unknown)(buffer);
}

/** A text with unpaired surrogates, which UTF-8 cannot represent. */
function illFormed(json: string): string {
  try {
    const text: unknown = JSON.parse(json);
    if (typeof text === "string") return text;
  } catch {
    // Reported below.
  }
  throw new Unreadable("a text cannot be read");
}
