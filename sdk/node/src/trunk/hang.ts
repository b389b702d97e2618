/** Detects a node that hangs: much data waits for its credit, and none has come for a long time. */

/** Above this, data waits only for a node that gives credit; an app may send any amount at once. */
const HELD_BYTES_MAX = 16 * 1024 * 1024;
/** A node that gives no credit for this long, while so much waits, hangs. */
const HANGS_MS = 5_000;

/** Watches one trunk for a node that hangs. */
export class HangWatch {
  private readonly onHang: (heldBytes: number, forMs: number) => void;
  /** When frames began to wait, or some of them were sent. */
  private movedAt = 0;
  private isTold = false;

  /** @param onHang not called twice without credit in between */
  constructor(onHang: (heldBytes: number, forMs: number) => void) {
    this.onHang = onHang;
  }

  /** Notes that credit came. */
  noteCredit(): void {
    this.movedAt = Date.now();
    this.isTold = false;
  }

  /** Notes that a frame must wait for credit. */
  noteHeld(isFirst: boolean, heldBytes: number): void {
    if (isFirst) this.movedAt = Date.now();
    if (heldBytes <= HELD_BYTES_MAX || this.isTold) return;
    const forMs = Date.now() - this.movedAt;
    if (forMs < HANGS_MS) return;
    this.isTold = true;
    this.onHang(heldBytes, forMs);
  }
}
