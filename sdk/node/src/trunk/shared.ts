/**
 * Texts that come with nearly every handshake: names of headers, most of their values, URLs. Each is stored once, so
 * that ten thousand clients do not hold ten thousand copies of their browser's name; finding a text costs less than
 * making it.
 */

/** Longer texts are rarely the same twice. */
export const SHARED_BYTES_MAX = 200;
/**
 * A power of two: some bits of a text's hash choose its place. A new text replaces the one that had the place before.
 */
const PLACES = 1024;

interface Kept {
  readonly bytes: Uint8Array;
  readonly text: string;
}

const places: (Kept | undefined)[] = new Array<Kept | undefined>(PLACES).fill(undefined);

/** The stored text with these bytes; undefined if there is none. */
export function findShared(buf: Uint8Array, start: number, length: number): string | undefined {
  const kept = places[placeOf(buf, start, length)];
  if (kept === undefined || kept.bytes.length !== length) return undefined;
  const { bytes } = kept;
  for (let index = 0; index < length; index++) {
    if (bytes[index] !== buf[start + index]) return undefined;
  }
  return kept.text;
}

/** Stores a text for {@link findShared}. */
export function keepShared(bytes: Uint8Array, text: string): void {
  // Copy the bytes: a slice would keep the whole batch alive.
  places[placeOf(bytes, 0, bytes.length)] = { bytes: Uint8Array.from(bytes), text };
}

/** Reads only a few bytes: the comparison decides. */
function placeOf(buf: Uint8Array, start: number, length: number): number {
  if (length === 0) return 0;
  const end = start + length - 1;
  const middle = start + (length >> 1);
  const hash = length + 31 * (buf[start] as number) + 1009 * (buf[middle] as number) + 9176 * (buf[end] as number);
  return (hash ^ (hash >>> 10)) & (PLACES - 1);
}
