/**
 * Sessions that go from one node to another, because their client opened its WebSocket there (`spec/trunk.md`, section
 * 13). The former node says so on its trunk, the next one on its own, in either order; then the session goes on there,
 * and the app notices nothing.
 */
import createDebug from "debug";
import type { Conn } from "../session/conn.js";
import { CloseReason } from "../trunk/frames.js";
import type { Machine } from "../trunk/machine.js";
import type { Session } from "../trunk/sessions.js";

const debug = createDebug("trunkline:rehome");

/** How long the word of one node waits for that of the other. */
const MEET_MS_MAX = 10_000;
/** The most sessions that wait. */
const WAITING_MAX = 4_096;

/** What the app finds in the second argument of `disconnect` when a session is lost on its way. */
const LOST = Object.freeze({
  description: "the session was lost on its way from one node to another",
  context: Object.freeze({ cause: "move_failed", blame: "node" }),
});

/** A session that a node offers, and that its former node has not given away yet. */
class Arrival implements Session {
  readonly accepted = false;
  readonly conn: Conn;
  readonly machine: Machine;
  readonly number: number;
  private readonly onOver: (arrival: Arrival) => void;

  constructor(conn: Conn, machine: Machine, number: number, onOver: (arrival: Arrival) => void) {
    this.conn = conn;
    this.machine = machine;
    this.number = number;
    this.onOver = onOver;
  }

  handleClose(): void {
    this.onOver(this);
  }

  handleTrunkLost(): void {
    this.onOver(this);
  }

  handleMessage(): void {
    // Not called: the machine accepts messages only after `Accept`.
  }

  handleUpgraded(): void {
    // The node says it after `Accept`.
  }

  handleMarked(): void {
    // No mark was made here.
  }
}

/** One session on its way: who has spoken, and until when the other may. */
interface Way {
  /** Whether the former node has given it away. */
  hasLeft: boolean;
  arrival: Arrival | undefined;
  readonly until: number;
}

/** The sessions of one app server that are on their way. */
export class Moves {
  /** Sessions that have arrived, since the start. */
  moved = 0;
  private readonly ways = new Map<Conn, Way>();
  private timer: NodeJS.Timeout | undefined;

  /** Handles that a node has given a session to another one, or that it has ended there before it was taken. */
  noteLeft(conn: Conn, hasEnded: boolean): void {
    if (hasEnded) return this.ways.has(conn) ? this.lose(conn) : undefined;
    const way = this.wayOf(conn);
    way.hasLeft = true;
    if (way.arrival !== undefined) this.meet(way, way.arrival);
  }

  /** Handles that a node offers a session that another node has. @param conn the session, if there is one */
  noteArrives(machine: Machine, number: number, conn: Conn | undefined): void {
    if (conn === undefined || conn.readyState !== "open" || conn.isOn(machine))
      return machine.close(number, CloseReason.forcedClose);
    const way = this.ways.get(conn);
    if (way?.arrival !== undefined || this.ways.size >= WAITING_MAX)
      return machine.close(number, CloseReason.serverShuttingDown);
    const arrival = new Arrival(conn, machine, number, () => this.fail(conn, arrival));
    if (way?.hasLeft) return this.meet(way, arrival);
    machine.register(number, arrival);
    this.wayOf(conn).arrival = arrival;
  }

  /** Handles the end of a session. */
  noteGone(conn: Conn): void {
    const way = this.ways.get(conn);
    if (way === undefined) return;
    this.ways.delete(conn);
    if (way.arrival !== undefined) way.arrival.machine.close(way.arrival.number, CloseReason.serverShuttingDown);
  }

  private wayOf(conn: Conn): Way {
    const known = this.ways.get(conn);
    if (known !== undefined) return known;
    const way = { hasLeft: false, arrival: undefined, until: performance.now() + MEET_MS_MAX };
    this.ways.set(conn, way);
    this.schedule(way.until);
    return way;
  }

  /** Both nodes have said it. */
  private meet(way: Way, { conn, machine, number }: Arrival): void {
    way.arrival = undefined;
    this.ways.delete(conn);
    debug("session %s goes on at node %s", conn.id, machine.node);
    this.moved++;
    conn.moveTo(machine, number);
  }

  /** Handles that the next node does not take a session, which its former node may have given away already. */
  private fail(conn: Conn, arrival: Arrival): void {
    const way = this.ways.get(conn);
    if (way === undefined || way.arrival !== arrival) return;
    way.arrival = undefined;
    this.lose(conn);
  }

  /** Ends a session, whose client comes back by itself. */
  private lose(conn: Conn): void {
    debug("session %s is lost on its way", conn.id);
    conn.end(CloseReason.serverShuttingDown, "transport close", LOST);
  }

  private schedule(until: number): void {
    this.timer ??= setTimeout(() => this.expire(), Math.max(1, until - performance.now()));
    this.timer.unref();
  }

  /** Gives up those that have waited too long. They wait equally long, so they are in order. */
  private expire(): void {
    this.timer = undefined;
    const now = performance.now();
    for (const [conn, { until }] of [...this.ways]) {
      if (until > now) return this.schedule(until);
      this.lose(conn);
      this.ways.delete(conn);
    }
  }
}
