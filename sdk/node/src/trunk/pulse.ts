/** Whether the node gives signs of life (`spec/trunk.md`, section 10). */

const QUIET_INTERVALS_MAX = 3;

/** The pulse of one trunk. Intervals are counted and not measured, so that an app that blocks its event loop does not
 * take the node for dead. */
export class Pulse {
  private isHeard = false;
  private quietIntervals = 0;

  /** Notes that something was received. */
  note(): void {
    this.isHeard = true;
  }

  /** Counts one ping interval: returns what follows from it. */
  tick(): "alive" | "ask" | "dead" {
    if (this.isHeard) {
      this.isHeard = false;
      this.quietIntervals = 0;
      return "alive";
    }
    this.quietIntervals++;
    return this.quietIntervals < QUIET_INTERVALS_MAX ? "ask" : "dead";
  }

  /** What `dead` means, in words. */
  get cause(): string {
    return `nothing was received for ${QUIET_INTERVALS_MAX} ping intervals`;
  }
}
