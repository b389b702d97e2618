/**
 * Questions to other app servers that are not fully answered yet. None outlives its time limit, and none waits for a
 * peer that has left.
 */
import type { ClusterMessage } from "./messages.js";
import { whenRead } from "../trunk/hang.js";

export interface Question {
  /** Who has still something to say. */
  readonly missing: Iterable<string>;
  readonly timeoutMs: number | undefined;
  /** An answer of one that is missing. Returns true when it was that peer's last word. */
  onAnswer(peer: string, answer: ClusterMessage): boolean;
  /** Nobody is missing any more. */
  onDone(): void;
  onTimeout(missing: number): void;
}

interface Pending {
  readonly question: Question;
  readonly missing: Set<string>;
  readonly timer: NodeJS.Timeout;
}

export class Questions {
  private readonly pending = new Map<string, Pending>();
  private last = 0;

  get size(): number {
    return this.pending.size;
  }

  /** Keeps a question until it is answered. Returns its id. At least one peer must be missing. */
  open(question: Question): string {
    const id = String(++this.last);
    const missing = new Set(question.missing);
    const timer = setTimeout(() => whenRead(() => this.giveUp(id)), question.timeoutMs);
    this.pending.set(id, { question, missing, timer });
    return id;
  }

  answer(id: string, peer: string, answer: ClusterMessage): void {
    const pending = this.pending.get(id);
    if (pending?.missing.has(peer) && pending.question.onAnswer(peer, answer)) this.settle(id, peer);
  }

  /** The peer has nothing to say to this question, or nothing more. */
  settle(id: string, peer: string): void {
    const pending = this.pending.get(id);
    if (pending === undefined || !pending.missing.delete(peer) || pending.missing.size > 0) return;
    clearTimeout(pending.timer);
    this.pending.delete(id);
    pending.question.onDone();
  }

  /** Its time is over, or it was never asked. */
  giveUp(id: string): void {
    const pending = this.pending.get(id);
    if (pending === undefined) return;
    clearTimeout(pending.timer);
    this.pending.delete(id);
    pending.question.onTimeout(pending.missing.size);
  }

  /** The peer is gone: nobody waits for it. */
  forget(peer: string): void {
    for (const id of [...this.pending.keys()]) this.settle(id, peer);
  }
}
