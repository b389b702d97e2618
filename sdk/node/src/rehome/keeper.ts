/**
 * Keeps the nodes informed about sessions that another app server may adopt: what each of them would lose if this
 * process ended now (`Standing`), and the state of each socket (`State`).
 */
import { NotPlain, type LeftOut } from "../data/not_plain.js";
import { textOf } from "../data/keys.js";
import type { Conn, StayKeeper } from "../session/conn.js";
import { StayBit, type Stay } from "../session/stay.js";
import type { IoSocket } from "../socketio/types.js";
import { StandingFlag } from "../trunk/frames.js";
import { isClean, type Departure, type DepartureHost } from "./departure.js";
import { Lately } from "./operated.js";
import { snapshotDigest, snapshotOf } from "./snapshot.js";

/** How often the states of sockets that were used are compared with what the nodes have. */
const SWEEP_MS = 1_000;
const NOTHING = Buffer.alloc(0);

/** Receives the reports of a keeper. */
export interface KeeperHost {
  /** The state of a socket cannot be told: the socket ends with this process. */
  onNotPlain(what: string, cause: LeftOut): void;
  onTooLong(what: string, bytes: number): void;
}

/** The keeper of one app server's stays. */
export class Keeper implements StayKeeper, DepartureHost {
  /** The hand-over that is under way. */
  departure: Departure | undefined;
  /** Sessions that were adopted from other app servers, and that were handed over to others. */
  adopted = 0;
  handedOver = 0;
  /** What is done to the sockets of all app servers while some are on their way here. */
  readonly lately = new Lately();
  private readonly host: KeeperHost;
  private turn: Conn[] = [];
  private touched: Conn[] = [];
  private timer: NodeJS.Timeout | undefined;

  constructor(host: KeeperHost) {
    this.host = host;
  }

  noteTurn(conn: Conn, stay: Stay): void {
    if (stay.has(StayBit.turn)) return;
    stay.bits |= StayBit.turn;
    this.turn.push(conn);
  }

  noteTouched(conn: Conn, stay: Stay): void {
    if (stay.has(StayBit.touched)) return;
    stay.bits |= StayBit.touched;
    this.touched.push(conn);
    if (this.timer !== undefined) return;
    this.timer = setTimeout(() => this.sweep(), SWEEP_MS);
    this.timer.unref();
  }

  noteAttached(conn: Conn, stay: Stay): void {
    // At the end of the turn, because the app fills `socket.data` in its `connection` handler.
    stay.bits |= StayBit.stateDue;
    this.noteTurn(conn, stay);
    this.noteTouched(conn, stay);
  }

  /** Tells the nodes what has changed in this turn: call it before the last batch of the turn is sent. */
  endTurn(): void {
    if (this.turn.length === 0) return;
    const conns = this.turn;
    this.turn = [];
    for (const conn of conns) {
      const { stay } = conn;
      if (stay === undefined) continue;
      stay.bits &= ~StayBit.turn;
      if (conn.readyState !== "open" || stay.has(StayBit.adopting)) continue;
      if (stay.has(StayBit.stateDue)) this.tellStates(conn, stay);
      this.tellStanding(conn, stay);
      if (this.departure !== undefined && isClean(conn)) this.departure.noteClean(conn);
    }
  }

  handleDeparted(): void {
    this.departure = undefined;
  }

  /** Asks the node to hand the session over. */
  askToLeave(conn: Conn): void {
    const { stay } = conn;
    if (stay === undefined) return;
    stay.bits |= StandingFlag.leaves;
    conn.tellStanding(stay.bits & StayBit.told);
  }

  /** Tells the node the present state of a socket. Resolves to whether the node has it. */
  async save(conn: Conn): Promise<boolean> {
    const { stay } = conn;
    if (stay === undefined || conn.readyState !== "open" || stay.has(StayBit.adopting)) return false;
    this.tellStates(conn, stay);
    await conn.fence();
    return conn.readyState === "open" && !stay.has(StayBit.unfit);
  }

  handleReleased(conn: Conn): void {
    const { departure } = this;
    if (departure !== undefined) departure.noteReleased(conn);
    // It asked to leave in a hand-over that is over.
    else conn.handOver();
  }

  noteGone(conn: Conn): void {
    this.departure?.noteGone(conn);
  }

  noteHandedOver(): void {
    this.handedOver++;
  }

  tellLast(conn: Conn, socket: IoSocket): void {
    const { stay } = conn;
    if (stay !== undefined && !this.tellState(conn, socket)) stay.bits |= StayBit.unfit;
  }

  private tellStanding(conn: Conn, stay: Stay): void {
    const told = stay.bits & StayBit.told;
    const now =
      (stay.owed > 0 ? StandingFlag.owes : 0) |
      (conn.isInsidePacket ? StandingFlag.insidePacket : 0) |
      (told & StandingFlag.leaves);
    if (now === told) return;
    stay.bits = (stay.bits & ~StayBit.told) | now;
    if (!stay.has(StayBit.released)) conn.tellStanding(now);
  }

  private sweep(): void {
    this.timer = undefined;
    const conns = this.touched;
    this.touched = [];
    for (const conn of conns) {
      const { stay } = conn;
      if (stay === undefined) continue;
      stay.bits &= ~StayBit.touched;
      if (conn.readyState !== "open" || stay.has(StayBit.adopting)) continue;
      const digest = digestOfAll(conn);
      if (digest !== stay.digest) this.tellStates(conn, stay, digest);
    }
  }

  private tellStates(conn: Conn, stay: Stay, digest = digestOfAll(conn)): void {
    stay.bits &= ~(StayBit.stateDue | StayBit.unfit);
    stay.digest = digest;
    for (const socket of conn.attachedSockets) if (!this.tellState(conn, socket)) stay.bits |= StayBit.unfit;
  }

  /** Tells the state of a socket. Returns whether the node can give it to another app server. */
  private tellState(conn: Conn, socket: IoSocket): boolean {
    const { name } = socket.nsp;
    // Two sockets in one namespace cannot be told apart in their session: they end with this process.
    if (conn.attachedSockets.some((other) => other !== socket && other.nsp.name === name)) return false;
    const { id, pid = "" } = socket;
    let state: Buffer;
    try {
      state = snapshotOf(socket);
    } catch (error) {
      if (!(error instanceof NotPlain)) throw error;
      this.host.onNotPlain(`a socket of namespace ${name} cannot go to another app server`, error);
      // The node may have a state from before, which is no longer right.
      conn.tellState(name, textOf(id), pid, NOTHING);
      return false;
    }
    if (conn.tellState(name, textOf(id), pid, state)) return true;
    this.host.onTooLong(`the state of socket ${id}`, state.length);
    return false;
  }
}

/** The digest of all states of a session: 0 when one of them cannot be told. */
function digestOfAll(conn: Conn): number {
  let digest = 1;
  try {
    for (const socket of conn.attachedSockets) digest = snapshotDigest(socket, digest);
    return digest;
  } catch (error) {
    if (error instanceof NotPlain) return 0;
    throw error;
  }
}
