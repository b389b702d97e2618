/**
 * Encodes data as bytes and back: MessagePack, with tagged forms for values that it cannot represent (`spec/relay.md`,
 * sections 1 to 3).
 */
import { Packr, Unpackr } from "msgpackr";
import { checkPacked } from "./check.js";
import { NotPlain, toWire, VALUE_BYTES, type PlainLimits } from "./plain.js";
import { Tables } from "./tables.js";
import { revive } from "./tags.js";
import { Unreadable } from "./unreadable.js";

/** The first byte of everything in this format. Releases with other formats write other first bytes. */
export const FORMAT = 2;
/** The second byte: whether the data has tagged values. Without them, decoding MessagePack is enough. */
const Form = { plain: 0, tagged: 1, shared: 2 } as const;
/** The highest form that this release reads. */
export const FORM_MAX = Form.shared;
const HEAD_BYTES = 2;
/** The most MessagePack values in one tagged value. */
const VALUES_OF_ONE_MAX = 5;
/** The most values in a payload: by our own count (see `plain.ts`), 64 MiB cannot hold more. */
const VALUES_MAX = ((64 * 1024 * 1024) / VALUE_BYTES) * VALUES_OF_ONE_MAX;

// Without records and extensions, which other languages do not know. Maps in their shortest form.
const packr = new Packr({ useRecords: false, variableMapSize: true, useToJSON: false });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number", copyBuffers: true });

/**
 * Encodes a value.
 * @throws NotPlain, and nothing else: the value may hold what clients sent, or objects of the app that throw
 */
export function pack(value: unknown, limits: PlainLimits, root: string): Buffer {
  try {
    const { wire, isTagged, tables } = toWire(value, limits, root);
    if (tables !== undefined)
      return Buffer.concat([Buffer.of(FORMAT, Form.shared), packr.pack([tables.texts, tables.shapes, wire])]);
    return Buffer.concat([Buffer.of(FORMAT, isTagged ? Form.tagged : Form.plain), packr.pack(wire)]);
  } catch (error) {
    if (error instanceof NotPlain) throw error;
    throw new NotPlain([root], `cannot be written: ${error instanceof Error ? error.message : typeof error}`);
  }
}

/** Decodes a value. @throws Unreadable, and nothing else */
export function unpack(bytes: Buffer): unknown {
  if (bytes[0] !== FORMAT)
    throw new Unreadable(bytes.length === 0 ? "it is empty" : "it is in the format of another release of the SDK");
  const form = bytes[1];
  if (form === undefined || form > FORM_MAX) throw new Unreadable("it is of no form that this version knows");
  const packed = bytes.subarray(HEAD_BYTES);
  checkPacked(packed, VALUES_MAX);
  try {
    const value = unpackr.unpack(packed) as unknown;
    if (form === Form.shared) return reviveShared(value);
    return form === Form.tagged ? revive(value) : value;
  } catch (error) {
    if (error instanceof Unreadable) throw error;
    throw new Unreadable(error instanceof Error ? error.message : String(error));
  }
}

function reviveShared(value: unknown): unknown {
  if (!Array.isArray(value) || value.length !== 3) throw new Unreadable("it has no tables");
  return revive(value[2], new Tables(value[0], value[1]));
}
