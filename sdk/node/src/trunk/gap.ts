/** The time between two streams of one trunk, in which the app server tries to resume it. */
import { Backoff } from "./backoff.js";
import type { TrunklineError } from "./errors.js";
import { whenRead } from "./when_read.js";

/** The node may have noticed the end of the stream this much later. */
const GRACE_MS = 500;

/** One gap. */
export class Gap {
  /** Why the stream broke. */
  readonly error: TrunklineError;
  /** Broadcasts that are lost if the trunk cannot be resumed. */
  broadcastsLost: number;
  private readonly deadline: NodeJS.Timeout;
  private retry: NodeJS.Timeout | undefined;
  private readonly backoff = new Backoff();
  private isOver = false;
  private readonly onOver: () => void;

  /**
   * @param windowMs how long the node waits
   * @param heldBroadcasts broadcasts that waited for credit when the stream broke
   * @param onOver called when there was no stream in time; not after {@link Gap.end}
   */
  constructor(error: TrunklineError, windowMs: number, heldBroadcasts: number, onOver: () => void) {
    this.error = error;
    this.broadcastsLost = heldBroadcasts;
    this.onOver = onOver;
    // A `Welcome` may have arrived in a process that was busy.
    this.deadline = setTimeout(() => whenRead(() => this.giveUp()), windowMs + GRACE_MS);
  }

  /** Gives up, in a turn of its own if called from the app's. */
  giveUp(): void {
    if (this.isOver) return;
    this.end();
    this.onOver();
  }

  /** Tries once more, after a while. */
  again(connect: () => void): void {
    this.retry = setTimeout(connect, this.backoff.next());
  }

  end(): void {
    this.isOver = true;
    clearTimeout(this.deadline);
    clearTimeout(this.retry);
  }
}
