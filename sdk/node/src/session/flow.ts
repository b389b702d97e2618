/**
 * Back-pressure of one session: what its client still has to read, according to the node's outbox. A {@link Flow}
 * exists only while the app sends a lot. Then a `Mark` is under way to the node, which answers when everything before
 * the mark has left (`spec/trunk.md`, section 4). Until the answer, the session counts as not writable in engine.io's
 * sense, and later packets are in `writeBuffer`.
 */

/** This many bytes are written without a mark, so an ordinary session never uses one. */
export const UNMARKED_BYTES_MAX = 16 * 1024;

/** Stands for a packet that was written before `writeBuffer` was first read. */
const UNSEEN = Object.freeze({ type: "message", options: Object.freeze({}) });

/** Called when data has left the node. */
export type Sent = () => void;

/** The back-pressure of one session while a mark is under way. */
export class Flow {
  /** The number of the mark: another one once another node was asked. */
  mark: number;
  /** Bytes before the mark. */
  private readonly markedBytes: number;
  /** Callbacks for when everything before the mark has left. */
  private readonly sent: Sent[];
  private count = 0;
  private bytes = 0;
  private waiting: Sent[] = [];
  /** The packets, kept only after the first read of `writeBuffer`: sessions that are never read do not pay for it. */
  private packets: object[] | undefined;

  constructor(mark: number, markedBytes: number, sent: Sent[], isWatched: boolean) {
    this.mark = mark;
    this.markedBytes = markedBytes;
    this.sent = sent;
    if (isWatched) this.packets = [];
  }

  get isWatched(): boolean {
    return this.packets !== undefined;
  }

  /** The packets written since the mark. */
  get buffer(): object[] {
    return (this.packets ??= new Array<object>(this.count).fill(UNSEEN));
  }

  get isEmpty(): boolean {
    return this.count === 0;
  }

  get bufferedBytes(): number {
    return this.markedBytes + this.bytes;
  }

  /** The bytes after the mark, and the callbacks that wait for them. */
  get rest(): { bytes: number; sent: Sent[] } {
    return { bytes: this.bytes, sent: this.waiting };
  }

  /** Counts a packet after the mark. @param packet makes the packet, called only once `writeBuffer` was read */
  add(bytes: number, packet: () => object, sent: Sent | undefined): void {
    this.count++;
    this.bytes += bytes;
    this.packets?.push(packet());
    if (sent !== undefined) this.waiting.push(sent);
  }

  /** Handles the answer to the mark: everything before the mark has left. */
  passed(): void {
    for (const sent of this.sent) sent();
  }
}
