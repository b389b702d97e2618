/**
 * A planned hand-over: this app server leaves, and its sessions go to others. Each session asks its node, which sends
 * no more messages for it and says so; then its sockets end here, and the node gives it to another app server.
 */
import createDebug from "debug";
import type { Conn } from "../session/conn.js";
import { StayBit } from "../session/stay.js";
import { StandingFlag } from "../trunk/frames.js";

const debug = createDebug("trunkline:rehome");

/** What a hand-over needs of its owner. */
export interface DepartureHost {
  /** Finds out what each session owes its client now. */
  endTurn(): void;
  /** Asks the node to hand the session over. */
  askToLeave(conn: Conn): void;
  /** Handles that the hand-over is over. */
  handleDeparted(): void;
}

/** Whether nothing of the session would be lost if its sockets went to another app server now. */
export function isClean(conn: Conn): boolean {
  const { stay } = conn;
  return stay?.owed === 0 && !stay.has(StayBit.adopting | StayBit.turn) && !conn.isInsidePacket;
}

/** So many sessions wait for their node's answer at a time. */
const UNDER_WAY_MAX = 256;
/**
 * A session that has no answer after this time no longer counts among them: a node gives none for a session that it
 * cannot give to another app server.
 */
const ANSWER_MS = 1_000;
/** After this time without any answer the rest is not asked for: nobody would take a session over. */
const SILENCE_MS = 3 * ANSWER_MS;

/** The hand-over of all sessions of an app server. */
export class Departure {
  /** Resolves when no session is left that could be handed over, or when the rest has taken too long. */
  readonly done: Promise<void>;
  private readonly host: DepartureHost;
  private readonly timeoutMs: number;
  /** Whether sessions may be asked for already. */
  private mayAsk: boolean;
  private leadTimer: NodeJS.Timeout | undefined;
  /** The sessions that are still here. */
  private readonly here = new Set<Conn>();
  /** Those that have not been looked at, in order. */
  private queue: Conn[] = [];
  /** Those that owed their clients something, and no longer do. */
  private settled: Conn[] = [];
  /** Those that wait for their node's answer, and since when, in order. */
  private readonly underWay = new Map<Conn, number>();
  private answerTimer: NodeJS.Timeout | undefined;
  private isScheduled = false;
  private isOver = false;
  /** Whether a node has ever agreed, and since when one is asked. */
  private isAgreed = false;
  private askedAt: number | undefined;
  /** Whether no more sessions come. */
  private isComplete = false;
  private timer: NodeJS.Timeout | undefined;
  private resolve!: () => void;

  /**
   * @param complete settles when no more sessions come from nodes
   * @param timeoutMs how long to wait for the last sessions, from the time when all others have been asked
   * @param leadMs how long to wait before the first one is asked for: until then the other app servers have learned from
   * the node that sessions are about to wait, and what they called before has arrived here
   */
  constructor(
    host: DepartureHost,
    conns: Iterable<Conn>,
    complete: Promise<unknown>,
    timeoutMs: number,
    leadMs: number,
  ) {
    this.host = host;
    this.timeoutMs = timeoutMs;
    this.mayAsk = leadMs === 0;
    if (!this.mayAsk) this.leadTimer = setTimeout(() => this.begin(), leadMs);
    this.done = new Promise((resolve) => (this.resolve = resolve));
    for (const conn of conns) this.add(conn);
    void complete.then(() => {
      this.isComplete = true;
      this.schedule();
    });
    this.schedule();
    debug("%d sessions leave", this.here.size);
  }

  /** Whether the session may go to another app server. */
  static takes({ stay, readyState }: Conn): boolean {
    return stay !== undefined && readyState === "open" && !stay.has(StayBit.unfit);
  }

  get size(): number {
    return this.here.size;
  }

  /** Adds a session: also one that came while the others leave. */
  add(conn: Conn): void {
    if (this.isOver || !Departure.takes(conn)) return;
    this.here.add(conn);
    this.queue.push(conn);
    this.schedule();
  }

  /** Ends the hand-over: what is still here stays. */
  stop(): void {
    if (this.isOver) return;
    this.isOver = true;
    clearTimeout(this.leadTimer);
    clearTimeout(this.timer);
    clearTimeout(this.answerTimer);
    this.host.handleDeparted();
    debug("%d sessions could not leave", this.here.size);
    this.resolve();
  }

  /** Handles that nothing of a session is in the app's hands any more. */
  noteClean(conn: Conn): void {
    const { stay } = conn;
    if (stay === undefined || !this.here.has(conn)) return;
    if (stay.has(StayBit.released)) conn.handOver();
    else if (!stay.has(StandingFlag.leaves)) {
      this.settled.push(conn);
      this.schedule();
    }
  }

  noteReleased(conn: Conn): void {
    this.isAgreed = true;
    if (!this.here.has(conn)) return;
    this.underWay.delete(conn);
    this.schedule();
    if (isClean(conn)) conn.handOver();
    // A packet whose rest will reach another app server.
    else if (conn.isInsidePacket) conn.endWithServer();
  }

  noteGone(conn: Conn): void {
    if (!this.here.delete(conn)) return;
    this.underWay.delete(conn);
    this.schedule();
  }

  private begin(): void {
    this.mayAsk = true;
    this.schedule();
  }

  private schedule(): void {
    if (this.isScheduled || this.isOver) return;
    this.isScheduled = true;
    setImmediate(() => {
      this.isScheduled = false;
      if (!this.isOver) this.step();
    });
  }

  private step(): void {
    // What a session owes is known at the end of a turn.
    this.host.endTurn();
    if (!this.mayAsk) {
      if (this.here.size === 0 && this.isComplete) this.stop();
      return;
    }
    this.settled = this.askFirstOf(this.settled);
    const before = this.queue.length;
    this.queue = this.askFirstOf(this.queue);
    if (this.here.size === 0 && this.isComplete) return this.stop();
    // While some wait for their turn, the time of the last ones has not begun.
    if (this.timer !== undefined && this.queue.length === before) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.stop(), this.timeoutMs);
  }

  /** Asks for as many of these sessions as may be under way, in order. Returns those that have to wait. */
  private askFirstOf(conns: Conn[]): Conn[] {
    let looked = 0;
    for (const conn of conns) {
      if (this.underWay.size >= UNDER_WAY_MAX) break;
      looked++;
      if (!this.here.has(conn) || conn.stay?.has(StandingFlag.leaves) || !isClean(conn)) continue;
      // It cannot go any longer.
      if (!Departure.takes(conn)) this.here.delete(conn);
      // Without a socket it is asked for when it has one.
      else if (conn.attachedSockets.length > 0) this.ask(conn);
    }
    return conns.slice(looked);
  }

  private ask(conn: Conn): void {
    const now = performance.now();
    this.askedAt ??= now;
    this.underWay.set(conn, now);
    this.answerTimer ??= setTimeout(() => this.endAsks(), ANSWER_MS);
    this.host.askToLeave(conn);
  }

  /** Gives the places of those free that were asked for too long ago. */
  private endAsks(): void {
    this.answerTimer = undefined;
    const now = performance.now();
    for (const [conn, since] of this.underWay) {
      const leftMs = since + ANSWER_MS - now;
      if (leftMs > 1) {
        this.answerTimer = setTimeout(() => this.endAsks(), leftMs);
        break;
      }
      this.underWay.delete(conn);
    }
    if (!this.isAgreed && this.askedAt !== undefined && now - this.askedAt >= SILENCE_MS) return this.stop();
    this.schedule();
  }
}
