/**
 * Counts the node's batches, and tells the node how far this app server is with them (`spec/trunk.md`, section 11): what
 * was received need not be kept for a stream that breaks, and what was handled need not be given to another app server
 * when this one dies.
 */
import type { Outbound } from "./outbound.js";

/** How much may stay untold while nothing else is sent. */
const UNTOLD_BATCHES_MAX = 64;
const UNTOLD_BYTES_MAX = 256 * 1024;

/** What the node wants to be told: nothing, which batches were received (`Got`), or which were handled (`Handled`). */
export type Telling = "nothing" | "got" | "handled";

/** The account of one trunk. */
export class Receipts {
  /** The batches received since `Welcome`. */
  received = 0;
  /**
   * Whether the node must still be told, before the app gets a message or an adopted session of the present batch, that
   * it is begun.
   */
  mustBegin = false;
  private readonly outbound: Outbound;
  private telling: Telling = "nothing";
  /** How many batches the node was told of as received or begun, and as done. */
  private toldBegun = 0;
  private toldDone = 0;
  private untoldBytes = 0;
  /** Whether the app got something since the node was last told what is done. */
  private hasHandled = false;

  constructor(outbound: Outbound) {
    this.outbound = outbound;
  }

  start(telling: Telling): void {
    this.telling = telling;
  }

  /** Whether the node is told when a batch is begun. */
  get tellsBegun(): boolean {
    return this.telling === "handled";
  }

  /** Whether the node has not been told of all batches. */
  get hasUntold(): boolean {
    return this.telling !== "nothing" && this.toldDone !== this.received;
  }

  /** Counts a batch that has arrived. */
  count(bytes: number): void {
    this.received++;
    this.untoldBytes += bytes;
    this.mustBegin = this.telling === "handled";
  }

  /**
   * Tells the node that the present batch is begun. This is with the stream before the app gets anything of the batch,
   * and so reaches the node even if the app's process dies then.
   */
  begin(): void {
    this.mustBegin = false;
    this.hasHandled = true;
    this.outbound.handledAtOnce(this.received - this.toldBegun);
    this.toldBegun = this.received;
  }

  /** Whether the node must be told at the end of this turn even if nothing else is sent. */
  get isDue(): boolean {
    return this.hasHandled || (this.telling !== "nothing" && this.isMuch);
  }

  /** Tells the node, in the batch that ends the turn, if one is sent anyway or {@link Receipts.isDue}. */
  endTurn(): void {
    if (!this.hasUntold) return;
    if (this.isDue || this.outbound.hasOutput) this.tell();
  }

  /** Tells the node all that it does not know yet. */
  tell(): void {
    const begun = this.received - this.toldBegun;
    const done = this.received - this.toldDone;
    if (done === 0 || this.telling === "nothing") return;
    this.toldBegun = this.received;
    this.toldDone = this.received;
    this.untoldBytes = 0;
    this.hasHandled = false;
    if (this.telling === "got") this.outbound.got(done);
    else this.outbound.handled(begun, done);
  }

  private get isMuch(): boolean {
    return this.received - this.toldDone >= UNTOLD_BATCHES_MAX || this.untoldBytes >= UNTOLD_BYTES_MAX;
  }
}
