/**
 * Back-pressure of one session: what its client still has to take, as the node's outbox has it. There is one only while
 * the app sends a lot: then a `Mark` is under way to the node, which answers when all before it has left
 * (`spec/trunk.md`, section 4). Until then the session is what engine.io calls not writable, and what is written
 * meanwhile is in `writeBuffer`.
 */

/** So much is written without asking the node: an ordinary session never asks. */
export const UNMARKED_BYTES_MAX = 16 * 1024;

/** In the place of a packet that was written before anybody looked. */
const UNSEEN = Object.freeze({ type: "message", options: Object.freeze({}) });

export type Sent = () => void;

export class Flow {
  readonly mark: number;
  /** Bytes before the mark. */
  private readonly markedBytes: number;
  /** Who wants to know that what is before the mark has left. */
  private readonly sent: Sent[];
  private count = 0;
  private bytes = 0;
  private waiting: Sent[] = [];
  /** Kept from the first look on: whoever never looks does not pay for it. */
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

  /** What was written since the mark. */
  get buffer(): object[] {
    return (this.packets ??= new Array<object>(this.count).fill(UNSEEN));
  }

  get isEmpty(): boolean {
    return this.count === 0;
  }

  get bufferedBytes(): number {
    return this.markedBytes + this.bytes;
  }

  /** Bytes behind the mark, and who waits for them. */
  get rest(): { bytes: number; sent: Sent[] } {
    return { bytes: this.bytes, sent: this.waiting };
  }

  /** @param packet made only if somebody looks */
  add(bytes: number, packet: () => object, sent: Sent | undefined): void {
    this.count++;
    this.bytes += bytes;
    this.packets?.push(packet());
    if (sent !== undefined) this.waiting.push(sent);
  }

  /** All before the mark has left. */
  passed(): void {
    for (const sent of this.sent) sent();
  }
}
