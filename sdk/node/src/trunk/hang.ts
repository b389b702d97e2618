/** Whether a node hangs: much waits for its credit, and none has come for long. */

/** More than this waits only for a node that gives credit: what an app sends in one go may be any number of bytes. */
const HELD_BYTES_MAX = 16 * 1024 * 1024;
/** A node that gives no credit for so long, while so much waits, hangs. */
const HANGS_MS = 5_000;

export class HangWatch {
  private readonly onHang: (heldBytes: number, forMs: number) => void;
  /** When frames began to wait, or some of them went on. */
  private movedAt = 0;
  private isTold = false;

  /** @param onHang not called twice without credit in between */
  constructor(onHang: (heldBytes: number, forMs: number) => void) {
    this.onHang = onHang;
  }

  /** Credit came. */
  noteCredit(): void {
    this.movedAt = Date.now();
    this.isTold = false;
  }

  /** A frame joined those that wait for credit. */
  noteHeld(isFirst: boolean, heldBytes: number): void {
    if (isFirst) this.movedAt = Date.now();
    if (heldBytes <= HELD_BYTES_MAX || this.isTold) return;
    const forMs = Date.now() - this.movedAt;
    if (forMs < HANGS_MS) return;
    this.isTold = true;
    this.onHang(heldBytes, forMs);
  }
}
