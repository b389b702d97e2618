/**
 * Recognises headers that are those of an earlier request, except for a few values: clients of one kind send the same
 * names and values. To compare all their bytes at once takes less time than to find each text.
 */
import type { Reader } from "./reader.js";

/** Longer headers are not kept. */
const BLOCK_BYTES_MAX = 2 * 1024;
/** The kinds of clients that are recognised at a time. */
const BLOCKS_MAX = 2;
/** After so many unknown headers in a row, only every so many are kept: they all differ, and keeping takes time. */
const MISSES_MAX = 16;

/** The place of a value that each client has for itself. */
export interface OwnValue {
  /** The index of the value in the list of headers. */
  readonly index: number;
  /** The bytes of the value, counted from where the headers begin. */
  readonly start: number;
  readonly end: number;
}

interface Block {
  /** The encoded headers, without the own values. */
  readonly bytes: Buffer;
  readonly flat: readonly string[];
  readonly own: readonly OwnValue[];
}

/** The headers of recent requests. */
export class HeaderBlocks {
  private readonly blocks: Block[] = [];
  private last = 0;
  private misses = 0;

  /** Reads headers that are known; undefined, and nothing is read, if they are not. */
  read(reader: Reader): string[] | undefined {
    const start = reader.pos;
    for (const { bytes, flat, own } of this.blocks) {
      if (!isNext(bytes, own, reader)) continue;
      this.misses = 0;
      const list = flat.slice();
      for (const value of own) {
        reader.pos = start + value.start;
        list[value.index] = reader.utf8(value.end - value.start, "a header's value");
      }
      reader.pos = start + bytes.length;
      return list;
    }
    return undefined;
  }

  /** Keeps the headers that were read from `start` on, to recognise the next like them. */
  keep(reader: Reader, start: number, flat: readonly string[], own: readonly OwnValue[]): void {
    this.misses++;
    if (this.misses > MISSES_MAX && this.misses % MISSES_MAX !== 0) return;
    if (reader.pos - start > BLOCK_BYTES_MAX) return;
    const block = { bytes: reader.copyFrom(start), flat: flat.slice(), own };
    for (const { index, start, end } of own) {
      block.bytes.fill(0, start, end);
      block.flat[index] = "";
    }
    this.last = (this.last + 1) % BLOCKS_MAX;
    this.blocks[this.blocks.length < BLOCKS_MAX ? this.blocks.length : this.last] = block;
  }
}

/** Whether these bytes come next, whatever the own values are. */
function isNext(bytes: Buffer, own: readonly OwnValue[], reader: Reader): boolean {
  if (!reader.startsLike(bytes)) return false;
  let from = 0;
  for (const { start, end } of own) {
    if (!reader.has(bytes, from, start)) return false;
    from = end;
  }
  return reader.has(bytes, from, bytes.length);
}
