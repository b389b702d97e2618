/** Whether a node hangs: much waits for its credit, and none has come for long. */

/** More than this waits only for a node that gives credit: what an app sends in one go may be any number of bytes. */
const HELD_BYTES_MAX = 16 * 1024 * 1024;
/** A node that gives no credit for so long, while so much waits, hangs. */
const HANGS_MS = 5_000;
/**
 * Time is counted in so long steps, by a timer that fires once however late it is: what the app itself blocked, the node
 * could not be heard in.
 */
const STEP_MS = 1_000;

export class HangWatch {
  private readonly onHang: (heldBytes: number, forMs: number) => void;
  private timer: NodeJS.Timeout | undefined;
  /** Whether credit has come since the last step. */
  private hasMoved = false;
  /** How long nothing has come, while the event loop ran. */
  private quietMs = 0;
  private isTold = false;

  /** @param onHang called in a turn of its own; not twice without credit in between */
  constructor(onHang: (heldBytes: number, forMs: number) => void) {
    this.onHang = onHang;
  }

  /** Credit came. @param heldBytes what waits for more */
  noteCredit(heldBytes: number): void {
    this.hasMoved = true;
    this.quietMs = 0;
    this.isTold = false;
    if (heldBytes === 0) this.stop();
  }

  /** A frame joined those that wait for credit. */
  noteHeld(heldBytes: number): void {
    if (this.timer === undefined) this.start();
    if (heldBytes <= HELD_BYTES_MAX || this.isTold || this.quietMs < HANGS_MS) return;
    this.isTold = true;
    const forMs = this.quietMs;
    whenRead(() => {
      if (this.isTold) this.onHang(heldBytes, forMs);
    });
  }

  /** The trunk is over, or nothing waits. */
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

/**
 * Calls back when what had arrived by now has been read. A timer of a process that was busy fires before its streams
 * are read, and must not take that for silence.
 */
export function whenRead(callback: () => void): void {
  setImmediate(() => setImmediate(callback));
}
