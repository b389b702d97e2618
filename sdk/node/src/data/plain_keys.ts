/** The keys of records that MessagePack's maps can have without harm (`spec/relay.md`, section 3, tag 9). */
import { isWellFormed } from "./keys.js";

/**
 * Keys that a MessagePack library may take for an object's own methods, `constructor` and `toJSON` above all; clients
 * can send any key. An assignment to `__proto__` would set the prototype.
 */
const NAMES_OF_OBJECTS: ReadonlySet<string> = new Set([...Object.getOwnPropertyNames(Object.prototype), "toJSON"]);

/** The keys that can be written as they are. Recent results are kept, because many records have the same keys. */
const PLAIN_KEYS = {
  known: new Set<string>(),
  has(key: string): boolean {
    if (this.known.has(key)) return true;
    if (NAMES_OF_OBJECTS.has(key) || !isWellFormed(key)) return false;
    if (this.known.size >= KEYS_MAX) this.known.clear();
    this.known.add(key);
    return true;
  },
};
/** The number of kept keys at which all of them are forgotten. */
const KEYS_MAX = 1_000;

/** Whether all these keys can be written as they are. */
export function arePlain(keys: readonly string[]): boolean {
  for (const key of keys) if (!PLAIN_KEYS.has(key)) return false;
  return true;
}
