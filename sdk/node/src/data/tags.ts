/**
 * Values that MessagePack cannot represent, as lists that begin with nil: `[nil, tag, …]` (`spec/relay.md`, section 3).
 * If a list of the app begins with nil, it is written as {@link Tag.list}, so that it is not taken for a tagged value.
 */
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
export function taggedBytes(value: ArrayBuffer | View): { name: string; bytes: Buffer } | undefined {
  const name = Object.prototype.toString.call(value).slice("[object ".length, -1);
  if (name === "ArrayBuffer") return { name, bytes: Buffer.from(value as ArrayBuffer) };
  const { buffer, byteOffset, byteLength } = value as View;
  if (!Object.hasOwn(VIEWS, name)) return undefined;
  return { name, bytes: Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength) };
}

/** A bigint in base 16, which is parsed in linear time. */
export function bigintText(value: bigint): string {
  return value.toString(16);
}

/** @throws Unreadable */
export function bigintOf(hex: string): bigint {
  const digits = hex.startsWith("-") ? hex.slice(1) : hex;
  if (!/^[0-9a-f]+$/.test(digits)) throw new Unreadable("a bigint has no digits");
  const value = BigInt(`0x${digits}`);
  return digits === hex ? value : -value;
}

/** @throws Unreadable */
export function regexpOf(source: string, flags: string): RegExp {
  try {
    return new RegExp(source, flags);
  } catch {
    throw new Unreadable("a regular expression cannot be read");
  }
}

/** An error with these texts, of its own class if it is one of JavaScript's. */
export function errorOf(name: string, message: string, stack: string | undefined): Error {
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

/** Bytes of a type, in memory of their own. @throws Unreadable */
export function bytesOf(name: string, value: unknown): unknown {
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

/** A text with unpaired surrogates, which UTF-8 cannot represent. @throws Unreadable */
export function illFormed(json: string): string {
  try {
    const text: unknown = JSON.parse(json);
    if (typeof text === "string") return text;
  } catch {
    // Reported below.
  }
  throw new Unreadable("a text cannot be read");
}
