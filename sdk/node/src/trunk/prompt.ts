/**
 * Decides which changes of membership are sent before their turn's batch, so that the app's next action, by any
 * channel, comes after them.
 */

/**
 * How many changes of membership may be sent at once in one turn of the event loop, each in a batch of its own. More
 * than that is not caused by a single client; the rest is sent when the running code is done.
 */
export const PROMPT_MAX = 64;
/**
 * In a stampede each socket that connects would have a batch of its own. So only the first of a turn has one, and any
 * that connects at least this many milliseconds after the last: within that time no other client can have received and
 * answered anything about the sockets in between.
 */
const PROMPT_ATTACH_MS = 0.5;

/** The early batches of one trunk. */
export class Prompt {
  private readonly schedule: () => void;
  private readonly transmit: () => void;
  /** Batches sent before the turn's own, and whether another is due when the running code is done. */
  private sent = 0;
  private isDue = false;
  /** When the last of them left, in milliseconds. */
  private sentAt = 0;
  /** The nesting depth of operations on many sockets, whose changes are sent together. */
  private together = 0;

  /** @param schedule arranges a call of {@link Prompt.endTurn} at the end of the turn */
  constructor(schedule: () => void, transmit: () => void) {
    this.schedule = schedule;
    this.transmit = transmit;
  }

  /** How many early batches a turn may have for a connecting socket. */
  get attachMax(): number {
    return this.sent === 0 || performance.now() - this.sentAt > PROMPT_ATTACH_MS ? PROMPT_MAX : 0;
  }

  /** Sends the gathered frames now, or, after `max` such batches, when the running code is done. */
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

  /** Sends everything until {@link Prompt.endTogether} in one batch. */
  beginTogether(): void {
    this.together++;
  }

  endTogether(): void {
    if (--this.together === 0) this.transmit();
  }
}
