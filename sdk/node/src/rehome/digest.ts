/** A short figure for a socket's data, so that a change is noticed without a copy of the former data. */
import { isBareRecord } from "../data/alive.js";

/** More values or levels than this are not compared here: the caller encodes the data instead. */
const VALUES_MAX = 1_000;
const LEVELS_MAX = 16;

const FLOAT = new Float64Array(1);
const HALVES = new Int32Array(FLOAT.buffer);

let values = 0;

/**
 * The digest of JSON-like data: other data with the same digest is practically excluded. Undefined for data with
 * values of other kinds (maps, dates, bytes, instances), or with too many.
 * @throws what the app's code throws that reading the data runs
 */
export function digestOf(data: unknown, seed: number): number | undefined {
  values = 0;
  return mixValue(seed, data, 0);
}

/** The digest of bytes. */
export function digestOfBytes(bytes: Uint8Array, seed: number): number {
  let digest = seed;
  for (const byte of bytes) digest = mix(digest, byte);
  return digest;
}

function mix(digest: number, value: number): number {
  const mixed = Math.imul(digest ^ value, 0x01000193);
  return mixed ^ (mixed >>> 15);
}

function mixText(seed: number, text: string): number {
  let digest = mix(seed, text.length);
  for (let index = 0; index < text.length; index++) digest = mix(digest, text.charCodeAt(index));
  return digest;
}

function mixValue(seed: number, value: unknown, level: number): number | undefined {
  if (++values > VALUES_MAX) return undefined;
  switch (typeof value) {
    case "string":
      return mixText(mix(seed, 1), value);
    case "number":
      FLOAT[0] = value;
      return mix(mix(mix(seed, 2), HALVES[0] as number), HALVES[1] as number);
    case "boolean":
      return mix(seed, value ? 3 : 4);
    case "undefined":
      return mix(seed, 5);
    case "object":
      return value === null ? mix(seed, 6) : mixObject(seed, value, level);
    default:
      return undefined;
  }
}

function mixObject(seed: number, value: object, level: number): number | undefined {
  if (level >= LEVELS_MAX) return undefined;
  let digest: number | undefined;
  if (Array.isArray(value)) {
    digest = mix(mix(seed, 7), value.length);
    for (const item of value as unknown[]) {
      digest = mixValue(digest, item, level + 1);
      if (digest === undefined) return undefined;
    }
    return digest;
  }
  if (!isBareRecord(value) || typeof (value as { toJSON?: unknown }).toJSON === "function") return undefined;
  digest = mix(seed, 8);
  for (const key of Object.keys(value)) {
    digest = mixValue(mixText(digest, key), (value as Record<string, unknown>)[key], level + 1);
    if (digest === undefined) return undefined;
  }
  return digest;
}
