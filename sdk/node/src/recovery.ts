/**
 * Connection state recovery: what a client that comes back gets. Sockets and packets behind Trunkline are kept by the nodes (`spec/trunk.md`,
 * section 9), for all app servers of the hub; those of direct clients are kept here, as in Socket.IO's own in-memory adapter.
 */
import createDebug from "debug";
import { randomBytes } from "node:crypto";
import { decodeMessage, encodeState } from "./cluster/payload.js";
import type { Conn } from "./conn.js";
import { PacketType, type BroadcastOptions, type IoNamespace, type Packet, type PersistedSession, type RestoredSession } from "./internals.js";
import { keyOf, textOf, textsOf } from "./keys.js";
import { decodePacket } from "./packets.js";
import { NotPlain } from "./plain.js";
import { PartKind, type FrameBodies } from "./trunk/frames.js";

const debug = createDebug("trunkline:recovery");

/** Both come from a client that may be hostile; ours are far shorter. */
const ID_UNITS_MAX = 128;
const RESTORE_MS_MAX = 2_000;
const DIRECT_PACKETS_MAX = 10_000;
/** A socket's `data` and rooms that are kept for its client; with more it comes back as a new one. */
const STATE_BYTES_MAX = 1024 * 1024;

type Restored = FrameBodies["Restored"];

export interface RestoreLink {
  readonly isUp: boolean;
  restore(nsp: string, pid: string, offset: string, done: (restored: Restored | undefined) => void): void;
}

/** As in Socket.IO: events that are neither volatile nor wait for an acknowledgement. */
export function isRecorded(packet: Packet, { flags }: BroadcastOptions): boolean {
  return packet.type === PacketType.EVENT && packet.id === undefined && flags?.volatile === undefined;
}

export interface RecoveryHost {
  onTooLong(what: string, bytes: number): void;
  /** A socket's state cannot leave this process: its client will come back as a new one. */
  onNotPlain(what: string, cause: NotPlain): void;
}

export class Recovery {
  /** How long a client may be away. */
  readonly keepMs: number;
  private readonly links: () => RestoreLink[];
  private readonly host: RecoveryHost;
  /** Offsets are unique in the hub: a random head for each process, then a number. */
  private readonly head = randomBytes(6).toString("base64url");
  private last = 0;

  constructor(keepMs: number, links: () => RestoreLink[], host: RecoveryHost) {
    this.keepMs = keepMs;
    this.links = links;
    this.host = host;
  }

  nextOffset(): string {
    return this.head + (++this.last).toString(36);
  }

  /** Gives a socket to the node that its client was connected to. */
  persist(conn: Conn, nsp: string, { sid, pid, rooms, data }: PersistedSession): void {
    let state: Buffer;
    try {
      state = encodeState({ data }, STATE_BYTES_MAX);
    } catch (error) {
      if (!(error instanceof NotPlain)) throw error;
      return this.host.onNotPlain(`a socket of namespace ${nsp} is not kept, and its client comes back as a new one`, error);
    }
    if (!conn.machine.outbound.persist(conn.number, nsp, pid, textOf(sid), textsOf(rooms), state)) {
      this.host.onTooLong(`the state of socket ${sid}`, state.length);
    }
  }

  /** Asks all nodes; the first that knows the client wins. */
  restore(nsp: IoNamespace, pid: string, offset: string): Promise<RestoredSession | null> {
    if (pid.length > ID_UNITS_MAX || offset.length > ID_UNITS_MAX) return Promise.resolve(null);
    const links = this.links().filter((link) => link.isUp);
    return new Promise((resolve) => {
      let asked = links.length;
      if (asked === 0) return resolve(null);
      const timer = setTimeout(() => {
        debug("no node answered within %d ms", RESTORE_MS_MAX);
        resolve(null);
      }, RESTORE_MS_MAX);
      const finish = (session: RestoredSession | null): void => {
        clearTimeout(timer);
        resolve(session);
      };
      for (const link of links) {
        link.restore(nsp.name, pid, offset, (restored) => {
          asked--;
          if (restored?.found === 1) finish(readSession(nsp, pid, restored));
          else if (asked === 0) finish(null);
        });
      }
    });
  }
}

function readSession(nsp: IoNamespace, pid: string, { socket, rooms, data, missed }: Restored): RestoredSession | null {
  try {
    const state = decodeMessage(data) as { data?: unknown };
    const sid = keyOf(socket) as string;
    return {
      sid,
      pid,
      rooms: [...new Set([sid, ...rooms.map(keyOf)])],
      data: state.data ?? {},
      missedPackets: missed.map(({ parts }) => {
        const encoded = parts.map(({ kind, data: bytes }) => (kind === PartKind.text ? bytes.toString() : bytes));
        return decodePacket(nsp.server._parser, encoded).data as unknown[];
      }),
    };
  } catch (error) {
    debug("what the node kept cannot be read: %s", error);
    return null;
  }
}

interface KeptSession {
  readonly session: PersistedSession;
  readonly untilMs: number;
}

interface KeptPacket {
  readonly offset: string;
  readonly options: BroadcastOptions;
  readonly data: unknown[];
  readonly untilMs: number;
}

/** The log of one namespace for direct clients; empty, and without a timer, while there are none. */
export class DirectLog {
  private readonly keepMs: number;
  private readonly onIdle: () => void;
  private readonly sessions = new Map<string, KeptSession>();
  private packets: KeptPacket[] = [];
  private timer: NodeJS.Timeout | undefined;

  /** @param onIdle called when the last session has expired */
  constructor(keepMs: number, onIdle: () => void) {
    this.keepMs = keepMs;
    this.onIdle = onIdle;
  }

  /** Whether a client may come back to it. */
  get isInUse(): boolean {
    return this.sessions.size > 0;
  }

  record(offset: string, options: BroadcastOptions, data: unknown): void {
    if (!Array.isArray(data)) return;
    this.packets.push({ offset, options, data: data as unknown[], untilMs: Date.now() + this.keepMs });
    if (this.packets.length > DIRECT_PACKETS_MAX) this.packets.splice(0, DIRECT_PACKETS_MAX / 10);
    this.arm();
  }

  persist(session: PersistedSession): void {
    this.sessions.set(session.pid, { session, untilMs: Date.now() + this.keepMs });
    this.arm();
  }

  restore(pid: string, offset: string): RestoredSession | null {
    const kept = this.sessions.get(pid);
    if (kept === undefined || kept.untilMs < Date.now()) return null;
    const start = this.packets.findIndex((packet) => packet.offset === offset);
    if (start < 0) return null;
    const { session } = kept;
    const missed = this.packets.slice(start + 1).filter(({ options }) => wasFor(session.rooms, options));
    return { ...session, missedPackets: missed.map(({ data }) => data) };
  }

  private arm(): void {
    if (this.timer !== undefined) return;
    this.timer = setTimeout(() => this.expire(), Math.min(this.keepMs, 60_000));
    this.timer.unref();
  }

  private expire(): void {
    this.timer = undefined;
    const now = Date.now();
    for (const [pid, { untilMs }] of this.sessions) if (untilMs < now) this.sessions.delete(pid);
    this.packets = this.packets.filter(({ untilMs }) => untilMs >= now);
    if (this.sessions.size > 0 || this.packets.length > 0) this.arm();
    if (this.sessions.size === 0) this.onIdle();
  }
}

function wasFor(rooms: unknown[], { rooms: to, except }: BroadcastOptions): boolean {
  if (to.size > 0 && !rooms.some((room) => to.has(room))) return false;
  return except === undefined || !rooms.some((room) => except.has(room));
}
