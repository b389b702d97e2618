/**
 * The batches of one trunk that the node has not confirmed, so that they can be sent once more on another stream
 * (`spec/trunk.md`, section 11). Batches are numbered from 1; those with `Hello` do not count.
 */

/** When more bytes than this are unconfirmed, they are forgotten: then the trunk cannot be resumed. */
export const RETAINED_BYTES_MAX = 16 * 1024 * 1024;
/** A batch that is shorter, or that fills a small part of its buffer, is copied: its buffer is used again at once. */
const COPIED_BYTES_MAX = 2 * 1024;
const COPIED_PART = 4;

interface Entry {
  readonly batch: Buffer;
  readonly isCopy: boolean;
}

/** The unconfirmed batches of one trunk. */
export class Retained {
  /** The number of the last batch. */
  sent = 0;
  private confirmed = 0;
  /** All batches up to this number are forgotten. */
  private forgotten = 0;
  /** The kept batches from `first` on; the places before it are empty. */
  private entries: (Entry | undefined)[] = [];
  private first = 0;
  private bytes = 0;
  private readonly recycle: (batch: Buffer) => void;

  /** @param recycle takes the buffer of a batch that is no longer needed */
  constructor(recycle: (batch: Buffer) => void) {
    this.recycle = recycle;
  }

  /** Whether every unconfirmed batch is kept. */
  get isWhole(): boolean {
    return this.confirmed >= this.forgotten;
  }

  /** Keeps one more batch. Returns whether it was copied: then its buffer is not needed here. */
  keep(batch: Buffer): boolean {
    this.sent++;
    const capacity = batch.buffer.byteLength;
    const isCopy = batch.length <= COPIED_BYTES_MAX || batch.length <= capacity / COPIED_PART;
    this.entries.push({ batch: isCopy ? Buffer.from(batch) : batch, isCopy });
    this.bytes += isCopy ? batch.length : capacity;
    if (this.bytes > RETAINED_BYTES_MAX) this.forgetAll();
    return isCopy;
  }

  /** Handles that the node has all batches up to this one. Returns false if there are not so many. */
  confirm(number: number): boolean {
    if (number > this.sent) return false;
    for (let next = this.lastForgotten + 1; next <= number; next++) this.release();
    this.confirmed = Math.max(this.confirmed, number);
    return true;
  }

  /**
   * The batches after this one, for a new stream. Undefined if they are not all here, or if the node cannot have
   * received this many.
   */
  after(number: number): Buffer[] | undefined {
    if (number < this.confirmed || !this.confirm(number) || !this.isWhole) return undefined;
    const batches: Buffer[] = [];
    for (let index = this.first; index < this.entries.length; index++) {
      const entry = this.entries[index];
      if (entry !== undefined) batches.push(entry.batch);
    }
    return batches;
  }

  /** The number of the last batch that is not kept any more. */
  private get lastForgotten(): number {
    return this.sent - (this.entries.length - this.first);
  }

  private release(): void {
    const entry = this.entries[this.first];
    this.entries[this.first++] = undefined;
    if (entry !== undefined) {
      this.bytes -= entry.isCopy ? entry.batch.length : entry.batch.buffer.byteLength;
      // The other end has it, so no stream reads the buffer any more.
      if (!entry.isCopy) this.recycle(entry.batch);
    }
    if (this.first === this.entries.length) {
      this.entries.length = 0;
      this.first = 0;
    } else if (this.first >= 1024 && this.first * 2 >= this.entries.length) {
      this.entries.splice(0, this.first);
      this.first = 0;
    }
  }

  private forgetAll(): void {
    this.entries = [];
    this.first = 0;
    this.bytes = 0;
    this.forgotten = this.sent;
  }
}
