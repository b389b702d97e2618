/**
 * Encodes data as bytes and back: MessagePack, with tagged forms for values that it cannot represent (`spec/relay.md`,
 * sections 1 to 3).
 */
import { writeFlat } from "./flat.js";
import { VALUE_BYTES, type PlainLimits } from "./limits.js";
import { PackWriter } from "./msgpack.js";
import { NotPlain } from "./not_plain.js";
import { writePlain } from "./plain.js";
import { readPlain } from "./read.js";
import type { TableWriter } from "./tables.js";
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

const HEADS = [Form.plain, Form.tagged, Form.shared].map((form) => Buffer.of(FORMAT, form)) as [Buffer, Buffer, Buffer];

/**
 * Encodes a value.
 * @throws NotPlain, and nothing else: the value may hold what clients sent, or objects of the app that throw
 */
export function pack(value: unknown, limits: PlainLimits, root: string): Buffer {
  const out = new PackWriter();
  try {
    const { isTagged, tables } = writePlain(value, limits, root, out);
    return out.finish(tables === undefined ? HEADS[isTagged ? Form.tagged : Form.plain] : sharedHead(tables));
  } catch (error) {
    out.giveUp();
    if (error instanceof NotPlain) throw error;
    throw new NotPlain([root], `cannot be written: ${error instanceof Error ? error.message : typeof error}`);
  }
}

/**
 * The same bytes as {@link pack}, in less time, for a record of texts and numbers, and of such records. Undefined for
 * any other one. No two of its values may be the same object. The bytes are for immediate use.
 */
export function packFlat(value: object, bytesMax: number): Buffer | undefined {
  const out = new PackWriter();
  try {
    if (writeFlat(value, out, bytesMax, 1) >= 0) return out.finish(HEADS[Form.plain], Buffer.allocUnsafe);
  } catch {
    // Reading runs the app's code; `pack` reports what it throws.
  }
  out.giveUp();
  return undefined;
}

/** The bytes before the value of a payload with tables: the tables are known when the value is written. */
function sharedHead({ texts, shapes }: TableWriter): Buffer {
  const out = new PackWriter();
  out.list(3);
  out.list(texts.length);
  for (const text of texts) out.text(text);
  out.list(shapes.length);
  for (const { keys } of shapes) {
    out.list(keys.length);
    for (const key of keys) out.text(key);
  }
  return out.finish(HEADS[Form.shared]);
}

/** Decodes a value. @throws Unreadable, and nothing else */
export function unpack(bytes: Buffer): unknown {
  if (bytes[0] !== FORMAT)
    throw new Unreadable(bytes.length === 0 ? "it is empty" : "it is in the format of another release of the SDK");
  const form = bytes[1];
  if (form === undefined || form > FORM_MAX) throw new Unreadable("it is of no form that this version knows");
  const reading = { isTagged: form !== Form.plain, sharesParts: form === Form.shared, valuesMax: VALUES_MAX };
  try {
    return readPlain(bytes.subarray(HEAD_BYTES), reading);
  } catch (error) {
    if (error instanceof Unreadable) throw error;
    throw new Unreadable(error instanceof Error ? error.message : String(error));
  }
}
