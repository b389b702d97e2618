/** The batch that frames gather in, and the buffers of batches that have left, which the next ones use again. */
import { Writer } from "./writer.js";

/** Buffers of sent batches that are kept for the next ones. */
const SPARES_MAX = 4;
const SPARE_BYTES_MAX = 256 * 1024;
const SPARE_BYTES_MIN = 4 * 1024;

export class Batch {
  /** Frames are appended here: {@link Batch.cut} when one is whole. */
  writer = new Writer();
  /** The longest batch that the node takes; undefined until `Welcome`. */
  bytesMax: number | undefined;
  private readonly send: (batch: Buffer) => void;
  private readonly spares: Buffer[] = [];

  /** @param send the batch is not touched until it comes back through {@link Batch.recycle} */
  constructor(send: (batch: Buffer) => void) {
    this.send = send;
  }

  /** Sends what has gathered. */
  transmit(): void {
    if (this.writer.pos > 0) this.send(this.writer.take(this.spares.pop()));
  }

  /** When the frame that starts here made the batch too long: sends what is before it. */
  cut(frameStart: number): void {
    const { writer, bytesMax } = this;
    if (bytesMax === undefined || writer.pos <= bytesMax || frameStart === 0) return;
    this.writer = new Writer(this.spares.pop());
    this.writer.raw(writer.buf.subarray(frameStart, writer.pos));
    writer.pos = frameStart;
    this.send(writer.take());
  }

  /** Gives back the buffer of a batch that has left. */
  recycle(batch: Buffer): void {
    const whole = Buffer.from(batch.buffer);
    if (this.spares.length < SPARES_MAX && whole.length >= SPARE_BYTES_MIN && whole.length <= SPARE_BYTES_MAX)
      this.spares.push(whole);
  }
}
