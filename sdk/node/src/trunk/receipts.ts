/**
 * Counts the node's batches, and tells the node how far this app server is with them (`spec/trunk.md`, section 11): what
 * was received need not be kept for a stream that breaks, and what was handled need not be given to another app server
 * when this one dies.
 */
import type { Outbound } from "./outbound.js";

/** How much may stay untold while nothing else is sent. */
const UNTOLD_BATCHES_MAX = 64;
const UNTOLD_BYTES_MAX = 256 * 1024;

/**
 * After so many turns, each of which ended so soon after the one before, the end of a turn begins the next batch ahead:
 * then no batch of a busy app server needs a write of its own to be begun. If the process dies before that batch, the
 * messages in it are in doubt and not untouched, so an app server with time to spare does not do it.
 */
const BUSY_TURNS = 16;
const BUSY_MS_MAX = 10;

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
  /** Whether a batch may be begun before it has come. */
  private takesAhead = false;
  /** Whether the last batch that is begun was begun ahead. */
  private isAhead = false;
  /** When the last turn ended that told something, in milliseconds. */
  private endedAt = -Infinity;
  /** How many such turns in a row ended soon after the one before. */
  private busyTurns = 0;
  /** How many batches the node was told of as received or begun, and as done. */
  private toldBegun = 0;
  private toldDone = 0;
  private untoldBytes = 0;
  /** Whether the app got something since the node was last told what is done. */
  private hasHandled = false;

  constructor(outbound: Outbound) {
    this.outbound = outbound;
  }

  /** @param takesAhead whether the node allows it to begin a batch before it has come */
  start(telling: Telling, takesAhead = false): void {
    this.telling = telling;
    this.takesAhead = takesAhead && telling === "handled";
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
   * Tells the node that the present batch is begun, unless it knows. This is with the stream before the app gets anything
   * of the batch, and so reaches the node even if the app's process dies then.
   * @param isAdoption a batch that was begun ahead is not begun for the sessions in it that are to be adopted
   */
  begin(isAdoption: boolean): void {
    this.mustBegin = false;
    this.hasHandled = true;
    if (this.toldBegun === this.received && !(isAdoption && this.isAhead)) return;
    this.outbound.handledAtOnce(this.received - this.toldBegun);
    this.toldBegun = this.received;
    this.isAhead = false;
  }

  /** Whether the node must be told at the end of this turn even if nothing else is sent. */
  get isDue(): boolean {
    return this.hasHandled || (this.telling !== "nothing" && this.isMuch);
  }

  /**
   * Tells the node, in the batch that ends the turn, if one is sent anyway or {@link Receipts.isDue}.
   * @param hasNext whether the next batch is here already
   */
  endTurn(hasNext: boolean): void {
    if (!this.hasUntold || !(this.isDue || this.outbound.hasOutput)) return;
    this.tell(this.takesAhead && this.beginsNext(hasNext));
  }

  /** Tells the node all that it does not know yet. @param beginsNext whether the next batch is begun, too */
  tell(beginsNext = false): void {
    const done = this.received - this.toldDone;
    if (done === 0 || this.telling === "nothing") return;
    const begins = beginsNext ? this.received + 1 : this.received;
    const begun = begins - this.toldBegun;
    this.toldBegun = begins;
    this.toldDone = this.received;
    this.untoldBytes = 0;
    this.hasHandled = false;
    if (begun > 0) this.isAhead = beginsNext;
    if (this.telling === "got") this.outbound.got(done);
    else this.outbound.handled(begun, done);
  }

  private beginsNext(hasNext: boolean): boolean {
    const now = performance.now();
    this.busyTurns = now - this.endedAt <= BUSY_MS_MAX ? this.busyTurns + 1 : 0;
    this.endedAt = now;
    const isBusy = this.busyTurns >= BUSY_TURNS;
    // What was done may have to wait for credit; then it cannot be said together with what is begun.
    return (hasNext || isBusy) && this.outbound.heldBytes === 0;
  }

  private get isMuch(): boolean {
    return this.received - this.toldDone >= UNTOLD_BATCHES_MAX || this.untoldBytes >= UNTOLD_BYTES_MAX;
  }
}
