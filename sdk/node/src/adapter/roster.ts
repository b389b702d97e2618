/**
 * The connected sockets of one namespace by the door that they came through, and whether other app servers' broadcasts
 * concern them.
 */
import type { DirectLog } from "../recovery/direct_log.js";
import type { Conn } from "../session/conn.js";
import type { IoSocket } from "../socketio/types.js";

export class Roster {
  /** Sockets that the node knows. */
  readonly attached = new Map<string, Conn>();
  /** Sockets that came straight to the app's own HTTP server. */
  readonly direct = new Map<string, IoSocket>();
  /**
   * Sockets behind Trunkline that something listens to for outgoing packets: only these are looked at in a broadcast.
   */
  readonly outgoing = new Map<string, IoSocket>();
  /** What direct clients may come back to; set by whoever makes it. */
  log: DirectLog | undefined;
  private readonly tellInterest: (on: boolean) => void;
  private interestTold = false;

  /** @param tellInterest tells the other app servers whether their broadcasts must come here */
  constructor(tellInterest: (on: boolean) => void) {
    this.tellInterest = tellInterest;
  }

  get isInterested(): boolean {
    return this.outgoing.size > 0 || this.direct.size > 0 || this.log?.isInUse === true;
  }

  /** Call after each change. */
  compareInterest(): void {
    const { isInterested } = this;
    if (isInterested === this.interestTold) return;
    this.interestTold = isInterested;
    this.tellInterest(isInterested);
  }

  /** Something listens now for what is written to a socket. */
  noteOutgoing(socket: IoSocket): void {
    this.outgoing.set(socket.id, socket);
    this.compareInterest();
  }
}
