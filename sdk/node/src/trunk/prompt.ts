/**
 * Which changes of membership leave ahead of their turn's batch: what the app does next, by whatever way, comes after
 * them.
 */

/**
 * Changes of membership that leave at once in one turn of the event loop, each in a batch of its own. Beyond so many,
 * which is no single client's doing, the rest leaves when the running code is done.
 */
export const PROMPT_MAX = 64;
/**
 * In a stampede each socket that connects would have a batch of its own. So only the first of a turn has, and whoever
 * connects so many milliseconds after the last: nobody else can have heard of the ones between and have answered by
 * then.
 */
const PROMPT_ATTACH_MS = 0.5;

export class Prompt {
  private readonly schedule: () => void;
  private readonly transmit: () => void;
  /** Batches sent ahead of the turn's own, and whether another is due when the running code is done. */
  private sent = 0;
  private isDue = false;
  /** When the last of them left, in milliseconds. */
  private sentAt = 0;
  /** Inside how many operations on many sockets we are: what they change leaves together. */
  private together = 0;

  /** @param schedule has {@link Prompt.endTurn} called when the turn is over */
  constructor(schedule: () => void, transmit: () => void) {
    this.schedule = schedule;
    this.transmit = transmit;
  }

  /** How many prompt batches a turn may have, for a socket that connects. */
  get attachMax(): number {
    return this.sent === 0 || performance.now() - this.sentAt > PROMPT_ATTACH_MS ? PROMPT_MAX : 0;
  }

  /** Sends what has gathered now, or, when there were more such batches than `max`, when the running code is done. */
  leave(max: number): void {
    if (this.together > 0) return;
    if (this.sent < max) {
      this.sent++;
      this.sentAt = performance.now();
      this.schedule();
      return this.transmit();
    }
    if (this.isDue) return;
    this.isDue = true;
    queueMicrotask(() => {
      this.isDue = false;
      this.transmit();
    });
  }

  endTurn(): void {
    this.sent = 0;
  }

  /** What happens until {@link Prompt.endTogether} leaves in one batch. */
  beginTogether(): void {
    this.together++;
  }

  endTogether(): void {
    if (--this.together === 0) this.transmit();
  }
}
