/**
 * The way of the node's batches to the machine. Before the app gets anything of a batch, the kernel has the word that
 * the batch is begun: a word that still waits in this process would die with it, and what the app had done already would
 * be done again by another app server. So while the stream does not take what is written, batches wait here.
 */
import { FrameType } from "./frames.js";
import { Reader } from "./reader.js";

/** What a batch has that the app may act on for good: nothing, messages, or also sessions to adopt. */
export type Content = "nothing" | "messages" | "adoptions";

/** What an intake needs of the machine. */
export interface Receiver {
  /** Whether the node must know which batches are begun. */
  readonly tellsBegun: boolean;
  handleBatch(batch: Buffer): void;
  /** Counts a batch, and tells the node that it is begun if it has something for the app. */
  countBatch(batch: Buffer, content: Content): void;
  /** Handles a batch that was counted. */
  handleCounted(batch: Buffer): void;
}

/** What an intake needs of the stream. */
export interface Outlet {
  /** Whether something that was written is still in this process. */
  readonly isBlocked: boolean;
}

/** The batches of one trunk that wait. */
export class Intake {
  private readonly receiver: Receiver;
  /** Undefined while there is no stream. */
  private outlet: Outlet | undefined;
  private waiting: Buffer[] = [];
  /** Whether the node was told that the first of them is begun. */
  private isBegun = false;

  constructor(receiver: Receiver, outlet: Outlet) {
    this.receiver = receiver;
    this.outlet = outlet;
  }

  /** Whether batches wait. */
  get isWaiting(): boolean {
    return this.waiting.length > 0;
  }

  take(batch: Buffer): void {
    const { receiver } = this;
    if (!receiver.tellsBegun) return receiver.handleBatch(batch);
    if (this.isWaiting) {
      this.waiting.push(batch);
      return;
    }
    if (this.begin(batch)) return receiver.handleCounted(batch);
    this.waiting.push(batch);
  }

  /** Handles that the stream has taken everything. One batch is one turn: the others follow in turns of their own. */
  handleDrained(): void {
    const [batch] = this.waiting;
    if (batch === undefined || !this.begin(batch)) return;
    this.waiting.shift();
    this.receiver.handleCounted(batch);
    if (this.isWaiting) setImmediate(() => this.handleDrained());
  }

  /** Handles that the stream broke: what was not counted comes again on the next one. */
  handleBreak(): void {
    this.outlet = undefined;
    this.waiting.length = this.isBegun ? 1 : 0;
  }

  handleResumed(outlet: Outlet): void {
    this.outlet = outlet;
    this.handleDrained();
  }

  /** Handles that the trunk has ended. */
  end(): void {
    this.waiting = [];
    this.outlet = undefined;
  }

  /** Begins the batch that is next. Returns whether it may be handled now. */
  private begin(batch: Buffer): boolean {
    if (!this.isBegun) {
      if (this.outlet?.isBlocked !== false) return false;
      this.isBegun = true;
      this.receiver.countBatch(batch, contentOf(batch));
    }
    // The word itself may be what the stream does not take.
    if (this.outlet?.isBlocked !== false) return false;
    this.isBegun = false;
    return true;
  }
}

/** What a batch has for the app, as far as it can be read. */
function contentOf(batch: Buffer): Content {
  let content: Content = "nothing";
  try {
    const reader = new Reader(batch);
    while (reader.pos < reader.end) {
      const type = reader.u8("type");
      if (type === FrameType.Adopt) return "adoptions";
      if (type === FrameType.Message) content = "messages";
      const length = reader.varint("length");
      reader.pos += length;
    }
  } catch {
    // The machine says what is wrong with it.
  }
  return content;
}
