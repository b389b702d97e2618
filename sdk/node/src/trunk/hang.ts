/** Detects a node that hangs: many bytes wait for its credit, and no credit has come for some time. */
import { whenRead } from "./when_read.js";

/** The most bytes that may wait without credit. More may wait while credit comes: an app may send any number. */
const HELD_BYTES_MAX = 16 * 1024 * 1024;
/** A node that gives no credit for this long, while more than {@link HELD_BYTES_MAX} waits, hangs. */
const HANGS_MS = 5_000;
/**
 * The step in which time is counted, by a timer that fires only once however late it is. While the app blocks the event
 * loop, no credit can be received, so that time must not count.
 */
const STEP_MS = 1_000;

/** Watches the credit of one node. */
export class HangWatch {
  private readonly onHang: (heldBytes: number, forMs: number) => void;
  private timer: NodeJS.Timeout | undefined;
  /** Whether credit has come since the last step. */
  private hasMoved = false;
  /** How long no credit has come, counted only while the event loop ran. */
  private quietMs = 0;
  private isTold = false;
  private isPaused = false;

  /** @param onHang called in a turn of its own, and not twice without credit in between */
  constructor(onHang: (heldBytes: number, forMs: number) => void) {
    this.onHang = onHang;
  }

  /** Handles credit from the node. @param heldBytes the bytes that still wait */
  noteCredit(heldBytes: number): void {
    this.hasMoved = true;
    this.quietMs = 0;
    this.isTold = false;
    if (heldBytes === 0) this.stop();
  }

  /** Handles that the node reads, although credit that it gives is not read here. */
  noteTaken(): void {
    this.hasMoved = true;
    this.quietMs = 0;
  }

  /** Handles one more frame that waits for credit. @param heldBytes the bytes of all that wait */
  noteHeld(heldBytes: number): void {
    if (this.isPaused) return;
    if (this.timer === undefined) this.start();
    if (heldBytes <= HELD_BYTES_MAX || this.isTold || this.quietMs < HANGS_MS) return;
    this.isTold = true;
    const forMs = this.quietMs;
    whenRead(() => {
      if (this.isTold) this.onHang(heldBytes, forMs);
    });
  }

  /** Handles that there is no stream on which credit could come. */
  pause(): void {
    this.isPaused = true;
    this.isTold = false;
    this.stop();
  }

  /** Handles a new stream. @param heldBytes the bytes that wait */
  resume(heldBytes: number): void {
    this.isPaused = false;
    if (heldBytes > 0) this.start();
  }

  /** Stops the timer: the trunk has ended, or nothing waits. */
  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private start(): void {
    this.hasMoved = false;
    this.quietMs = 0;
    this.timer = setInterval(() => {
      this.quietMs = this.hasMoved ? 0 : this.quietMs + STEP_MS;
      this.hasMoved = false;
    }, STEP_MS);
    this.timer.unref();
  }
}
