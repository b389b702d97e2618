/**
 * Texts that come with nearly every handshake: names of headers, most of their values, URLs. Each is kept once, so that
 * ten thousand clients do not hold ten thousand copies of their browser's name, and that finding it costs less than
 * making it.
 */

/** Longer texts are seldom the same twice. */
export const SHARED_BYTES_MAX = 200;
/**
 * A power of two: which place a text has is a few bits of its hash. A text that needs a place takes it from the one
 * before.
 */
const PLACES = 1024;

interface Kept {
  readonly bytes: Uint8Array;
  readonly text: string;
}

const places: (Kept | undefined)[] = new Array<Kept | undefined>(PLACES).fill(undefined);

export function findShared(buf: Uint8Array, start: number, length: number): string | undefined {
  const kept = places[placeOf(buf, start, length)];
  if (kept === undefined || kept.bytes.length !== length) return undefined;
  const { bytes } = kept;
  for (let index = 0; index < length; index++) {
    if (bytes[index] !== buf[start + index]) return undefined;
  }
  return kept.text;
}

export function keepShared(bytes: Uint8Array, text: string): void {
  // A copy: a slice would keep the whole batch.
  places[placeOf(bytes, 0, bytes.length)] = { bytes: Uint8Array.from(bytes), text };
}

/** Looks at a few bytes only: the comparison is what counts. */
function placeOf(buf: Uint8Array, start: number, length: number): number {
  if (length === 0) return 0;
  const end = start + length - 1;
  const middle = start + (length >> 1);
  const hash = length + 31 * (buf[start] as number) + 1009 * (buf[middle] as number) + 9176 * (buf[end] as number);
  return (hash ^ (hash >>> 10)) & (PLACES - 1);
}
