/** Frames that wait for credit, in order (`spec/trunk.md`, section 5). */
import { FrameType } from "./frames.js";
import { Reader } from "./reader.js";
import { Writer } from "./writer.js";

/** The frames that cost credit. */
const DATA: ReadonlySet<number> = new Set([
  FrameType.Send,
  FrameType.Broadcast,
  FrameType.Recorded,
  FrameType.Persist,
  FrameType.State,
  FrameType.Relay,
]);
const KEPT_BYTES_MAX = 64 * 1024;

/** The held frames of one trunk. */
export class HeldFrames {
  /** Frames are appended here. */
  writer = new Writer();
  /** The start of the first frame that still waits. */
  private first = 0;

  get bytes(): number {
    return this.writer.pos - this.first;
  }

  /** How many broadcasts wait. */
  get broadcasts(): number {
    let count = 0;
    const reader = new Reader(this.writer.buf);
    reader.pos = this.first;
    while (reader.pos < this.writer.pos) {
      const type = reader.u8("type");
      if (type === FrameType.Broadcast || type === FrameType.Recorded) count++;
      const length = reader.varint("length");
      reader.pos += length;
    }
    return count;
  }

  /**
   * Sends frames while there is credit; frames without cost need none, but never overtake others.
   * @param emit gets a view that is valid only during the call
   * @returns the credit used up
   */
  release(credit: number, emit: (frame: Buffer) => void): number {
    let used = 0;
    const reader = new Reader(this.writer.buf);
    reader.pos = this.first;
    const end = this.writer.pos;
    while (reader.pos < end) {
      const start = reader.pos;
      const type = reader.u8("type");
      const length = reader.varint("length");
      const isData = DATA.has(type);
      if (isData && credit - used <= 0) {
        reader.pos = start;
        break;
      }
      if (isData) used += length;
      reader.pos += length;
      emit(this.writer.buf.subarray(start, reader.pos));
    }
    this.forget(reader.pos);
    return used;
  }

  private forget(upTo: number): void {
    const { writer } = this;
    if (upTo === writer.pos) {
      this.first = 0;
      writer.pos = 0;
      // After a flood the large buffer must not be kept.
      if (writer.buf.length > KEPT_BYTES_MAX) this.writer = new Writer();
    } else if (upTo > writer.buf.length / 2) {
      writer.buf.copyWithin(0, upTo, writer.pos);
      writer.pos -= upTo;
      this.first = 0;
    } else {
      this.first = upTo;
    }
  }
}
