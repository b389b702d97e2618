/** The batch in which frames gather, and the buffers of sent batches, which are used again. */
import { Writer } from "./writer.js";

/** Buffers of sent batches that are kept for the next ones. */
const SPARES_MAX = 4;
const SPARE_BYTES_MAX = 256 * 1024;
const SPARE_BYTES_MIN = 4 * 1024;

/** The batch of one trunk. */
export class Batch {
  /** Frames are appended here: {@link Batch.cut} when one is whole. */
  writer = new Writer();
  /** The longest batch that the node accepts; undefined until `Welcome`. */
  bytesMax: number | undefined;
  private readonly send: (batch: Buffer) => void;
  private readonly spares: Buffer[] = [];

  /** @param send the batch is not changed until it is returned through {@link Batch.recycle} */
  constructor(send: (batch: Buffer) => void) {
    this.send = send;
  }

  /** Sends the gathered frames. */
  transmit(): void {
    if (this.writer.pos > 0) this.send(this.writer.take(this.spares.pop()));
  }

  /** If the frame that starts here makes the batch too long, sends everything before it. */
  cut(frameStart: number): void {
    const { writer, bytesMax } = this;
    if (bytesMax === undefined || writer.pos <= bytesMax || frameStart === 0) return;
    this.writer = new Writer(this.spares.pop());
    this.writer.raw(writer.buf.subarray(frameStart, writer.pos));
    writer.pos = frameStart;
    this.send(writer.take());
  }

  /** Returns the buffer of a sent batch. */
  recycle(batch: Buffer): void {
    const whole = Buffer.from(batch.buffer);
    if (this.spares.length < SPARES_MAX && whole.length >= SPARE_BYTES_MIN && whole.length <= SPARE_BYTES_MAX)
      this.spares.push(whole);
  }
}
