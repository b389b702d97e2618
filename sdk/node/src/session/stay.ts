/**
 * What is noted of a session that another app server may adopt: only where the app has connection state recovery and
 * the node takes part. One object for each such session, so it is small.
 */
import type { Arrival } from "../socketio/internals.js";
import type { RestoredSession } from "../socketio/types.js";
import { StandingFlag } from "../trunk/frames.js";
import type { SendOptions } from "./parts.js";

/** The bits of {@link Stay.bits}. The lowest are what the node was told last: those of `StandingFlag`. */
export const StayBit = {
  told: StandingFlag.owes | StandingFlag.insidePacket | StandingFlag.leaves,
  /** Something happened in this turn after which the standing may be another one. */
  turn: 1 << 3,
  /** Something came or went since the states were compared last. */
  touched: 1 << 4,
  /** A socket was attached in this turn: its state is told at the end of the turn. */
  stateDue: 1 << 5,
  /** The session comes from another app server, and its sockets are not all connected yet. */
  adopting: 1 << 6,
  /** The session came from another app server. */
  rehomed: 1 << 7,
  /** The node does not have the state of each socket, so it cannot give the session to another app server. */
  unfit: 1 << 8,
  /** The node sends no more messages: it has agreed to hand the session over. */
  released: 1 << 9,
  /** The sockets end here and live on elsewhere. */
  handingOver: 1 << 10,
} as const;

/** The notes on one session. */
export class Stay {
  /** Answers that the client waits for: acknowledgements, and answers to `CONNECT`. */
  owed = 0;
  bits: number;
  /** The digest of the states that the node has. */
  digest = 0;

  constructor(bits: number) {
    this.bits = bits;
  }

  has(bit: number): boolean {
    return (this.bits & bit) !== 0;
  }
}

/** An adoption that is under way, as its session sees it. */
export interface Arriving {
  /** Takes a message that is written meanwhile: returns false when it is for the client. */
  takes(data: unknown, options: SendOptions): boolean;
  /** The former handshake of the socket that a namespace is about to make for a `CONNECT` with this `auth`. */
  arrivalOf(auth: unknown): Arrival | undefined;
  restore(nsp: string, pid: string): RestoredSession | null;
}

/** The adoptions under way. Not a field of each session, because they are short. */
export const ARRIVING = new WeakMap<object, Arriving>();
