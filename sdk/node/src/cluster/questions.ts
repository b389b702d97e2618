/**
 * Questions to other app servers that are not completely answered. None outlives its time limit, and none waits for a
 * peer that has left.
 */
import type { ClusterMessage } from "./messages.js";
import { whenRead } from "../trunk/when_read.js";

/** A question to other app servers. */
export interface Question {
  /** The peers whose answers are missing. */
  readonly missing: Iterable<string>;
  readonly timeoutMs: number | undefined;
  /** Handles an answer of a missing peer. Returns true when it was that peer's last answer. */
  onAnswer(peer: string, answer: ClusterMessage): boolean;
  /** Called when no answer is missing any longer. */
  onDone(): void;
  onTimeout(missing: number): void;
}

interface Pending {
  readonly question: Question;
  readonly missing: Set<string>;
  readonly timer: NodeJS.Timeout;
}

/** The open questions of an app server. */
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

  /** Notes that the peer will not answer this question, or has answered it completely. */
  settle(id: string, peer: string): void {
    const pending = this.pending.get(id);
    if (pending === undefined || !pending.missing.delete(peer) || pending.missing.size > 0) return;
    clearTimeout(pending.timer);
    this.pending.delete(id);
    pending.question.onDone();
  }

  /** Ends a question whose time is over, or that could not be sent. */
  giveUp(id: string): void {
    const pending = this.pending.get(id);
    if (pending === undefined) return;
    clearTimeout(pending.timer);
    this.pending.delete(id);
    pending.question.onTimeout(pending.missing.size);
  }

  /** Stops waiting for a peer that is gone. */
  forget(peer: string): void {
    for (const id of [...this.pending.keys()]) this.settle(id, peer);
  }
}
