/** Jittered exponential back-off (`spec/trunk.md`, section 1). */

const FIRST_MS = 100;
const FACTOR = 2;
const DELAY_MS_MAX = 5_000;

/** The delays between the attempts of one trunk. */
export class Backoff {
  private readonly random: () => number;
  private failures = 0;

  /** @param random numbers from 0 up to, but without, 1 */
  constructor(random: () => number = Math.random) {
    this.random = random;
  }

  /** The delay before the next attempt, in milliseconds. */
  next(): number {
    const delay = Math.min(FIRST_MS * FACTOR ** this.failures, DELAY_MS_MAX);
    // At the longest delay, further failures change nothing, and the power must not overflow.
    if (delay < DELAY_MS_MAX) this.failures++;
    // No delay exceeds the longest one, so there the spread is downwards only.
    return delay * (0.5 + (delay < DELAY_MS_MAX ? this.random() : this.random() / 2));
  }

  reset(): void {
    this.failures = 0;
  }
}
