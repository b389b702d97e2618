/** Connection state recovery for direct clients: kept in this process, as in Socket.IO's own in-memory adapter. */
import type { BroadcastOptions, PersistedSession, RestoredSession } from "../socketio/types.js";

const DIRECT_PACKETS_MAX = 10_000;

interface KeptSession {
  readonly session: PersistedSession;
  readonly untilMs: number;
  /** Whether a socket uses it, or is about to. */
  isTaken: boolean;
}

interface KeptPacket {
  readonly offset: string;
  readonly options: BroadcastOptions;
  readonly data: unknown[];
  readonly untilMs: number;
}

/** The log of one namespace for direct clients; empty and without a timer while there are none. */
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

  /** Whether it holds a session to which a client may return. */
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
    this.sessions.set(session.pid, { session, untilMs: Date.now() + this.keepMs, isTaken: false });
    this.arm();
  }

  /** The socket with this private id, if it was given out before. */
  takenBy(pid: string): string | undefined {
    const kept = this.sessions.get(pid);
    return kept?.isTaken ? kept.session.sid : undefined;
  }

  /** The kept session, without the missed packets: see {@link DirectLog.missed}. */
  restore(pid: string, offset: string): RestoredSession | null {
    const kept = this.sessions.get(pid);
    if (kept === undefined || kept.isTaken || kept.untilMs < Date.now() || this.placeOf(offset) < 0) return null;
    kept.isTaken = true;
    return { ...kept.session, missedPackets: [] };
  }

  /** Releases a session that was not used. */
  release(pid: string): void {
    const kept = this.sessions.get(pid);
    if (kept !== undefined) kept.isTaken = false;
  }

  /** The packets for a socket since the one with this offset; undefined when they are no longer known. */
  missed(pid: string, offset: string): unknown[][] | undefined {
    const kept = this.sessions.get(pid);
    const place = this.placeOf(offset);
    if (kept === undefined || place < 0) return undefined;
    return this.packets
      .slice(place + 1)
      .filter(({ options }) => wasFor(kept.session.rooms, options))
      .map(({ data }) => data);
  }

  private placeOf(offset: string): number {
    return this.packets.findIndex((packet) => packet.offset === offset);
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
