/**
 * The connected sockets of one namespace, behind Trunkline and direct, and whether other app servers' broadcasts
 * concern them.
 */
import type { DirectLog } from "../recovery/direct_log.js";
import type { Conn } from "../session/conn.js";
import type { IoSocket } from "../socketio/types.js";

/** The connected sockets of one namespace. */
export class Roster {
  /** Sockets that the node knows. */
  readonly attached = new Map<string, Conn>();
  /** Sockets that connected directly to the app's own HTTP server. */
  readonly direct = new Map<string, IoSocket>();
  /** Sockets behind Trunkline with a listener for outgoing packets: only these are visited in a broadcast. */
  readonly outgoing = new Map<string, IoSocket>();
  /** The log to which direct clients may return; set by the code that makes it. */
  log: DirectLog | undefined;
  private readonly tellInterest: (on: boolean) => void;
  private interestTold = false;

  /** @param tellInterest notifies the other app servers whether their broadcasts must come here */
  constructor(tellInterest: (on: boolean) => void) {
    this.tellInterest = tellInterest;
  }

  get isInterested(): boolean {
    return this.outgoing.size > 0 || this.direct.size > 0 || this.log?.isInUse === true;
  }

  /** Compares and reports the interest; call it after each change. */
  compareInterest(): void {
    const { isInterested } = this;
    if (isInterested === this.interestTold) return;
    this.interestTold = isInterested;
    this.tellInterest(isInterested);
  }

  /** Notes that a socket now has a listener for outgoing packets. */
  noteOutgoing(socket: IoSocket): void {
    this.outgoing.set(socket.id, socket);
    this.compareInterest();
  }
}
