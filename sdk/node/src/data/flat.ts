/**
 * Writes what most sockets have as their state, records of texts and numbers, without the bookkeeping of `plain.ts`:
 * for objects that refer to each other, tables, reports of what cannot be written.
 */
import { isAlive, isBareRecord } from "./alive.js";
import { isWellFormed } from "./keys.js";
import { VALUE_BYTES } from "./limits.js";
import type { PackWriter } from "./msgpack.js";
import { arePlain } from "./plain_keys.js";

/**
 * Writes a record whose values are texts, numbers, booleans and nulls, and, if there is a level left, other such
 * records. Returns how many of `bytes` are left; less than 0 for any other value, or one that is too long: then
 * something was written that is of no use. What is written is what `plain.ts` writes.
 * @throws what the app's code throws that reading the record runs
 */
export function writeFlat(value: object, out: PackWriter, bytes: number, levels: number): number {
  if (!isBareRecord(value) || isAlive(value)) return -1;
  const record = value as Record<string, unknown>;
  const keys = Object.keys(record);
  if (typeof record.toJSON === "function" || !arePlain(keys)) return -1;
  out.map(keys.length);
  let left = bytes - VALUE_BYTES;
  for (const key of keys) {
    const inner = record[key];
    out.text(key);
    left -= key.length + 2 * VALUE_BYTES;
    if (typeof inner === "string") {
      left -= inner.length;
      if (left < 0 || !text(inner, out)) return -1;
    } else if (typeof inner === "number") {
      if (Object.is(inner, -0)) return -1;
      out.number(inner);
    } else if (typeof inner === "boolean") out.bool(inner);
    else if (inner === null) out.nil();
    else if (typeof inner === "object" && levels > 0) left = writeFlat(inner, out, left, levels - 1);
    else return -1;
    if (left < 0) return -1;
  }
  return left;
}

function text(value: string, out: PackWriter): boolean {
  if (out.ascii(value)) return true;
  if (!isWellFormed(value)) return false;
  out.text(value);
  return true;
}
