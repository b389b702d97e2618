/**
 * Connection state recovery: what a client that comes back gets. Sockets and packets behind Trunkline are kept by the
 * nodes (`spec/trunk.md`, section 9), for all app servers of the hub; those of direct clients are kept here
 * (`direct_log.ts`).
 */
import createDebug from "debug";
import { randomBytes } from "node:crypto";
import { pack, unpack } from "../data/pack.js";
import type { Conn, Reattached } from "../session/conn.js";
import {
  PacketType,
  type BroadcastOptions,
  type Packet,
  type PersistedSession,
  type RestoredSession,
} from "../socketio/types.js";
import { keyOf, textOf, textsOf } from "../data/keys.js";
import { NotPlain, type LeftOut } from "../data/plain.js";
import { Unreadable } from "../data/unreadable.js";
import { whenRead } from "../trunk/hang.js";
import { Found, type FrameBodies, type Position } from "../trunk/frames.js";

const debug = createDebug("trunkline:recovery");

/** Both come from a client that may be hostile; ours are far shorter. */
const ID_UNITS_MAX = 128;
const ANSWER_MS_MAX = 2_000;
/** A socket's `data` that is kept for its client; with more it comes back as a new one. */
const STATE_BYTES_MAX = 1024 * 1024;
const STATE_VALUES_MAX = 1 << 17;

type RestoredAt = FrameBodies["RestoredAt"];

export interface RestoreLink {
  readonly isUp: boolean;
  /** Whether the node knows numbers of broadcasts: without them nobody can say what a client has at another node. */
  readonly numbers: boolean;
  restore(nsp: string, pid: string, offset: string, done: (restored: RestoredAt | undefined) => void): void;
  giveBack(nsp: string, pid: string): void;
}

/** A socket on its way back, between what the node gave and its being connected. */
export interface Return extends Reattached {
  readonly sid: string;
  readonly conn: Conn;
  /** It will not come: another attempt may have it. */
  release(): void;
}

/** As in Socket.IO: events that are neither volatile nor wait for an acknowledgement. */
export function isRecorded(packet: Packet, { flags }: BroadcastOptions): boolean {
  return packet.type === PacketType.EVENT && packet.id === undefined && flags?.volatile === undefined;
}

export interface RecoveryHost {
  onTooLong(what: string, bytes: number): void;
  /** A socket's state cannot leave this process: its client will come back as a new one. */
  onNotPlain(what: string, cause: LeftOut): void;
  /** A node of an earlier release is among ours. */
  onOldNode(): void;
  /** What a node kept for a client cannot be read: the client comes back as a new one. */
  onUnreadable(cause: Unreadable): void;
}

/** What the namespace of a socket does about its return. */
export interface ReturnHost {
  /** Ends the socket if it lives already, on this or another app server. */
  takeOver(sid: string): Promise<void>;
  /** It was given to us. */
  onGiven(back: Return): void;
  /** And cannot be used. */
  onUnused(back: Return): void;
}

interface Given {
  readonly link: RestoreLink;
  readonly restored: RestoredAt;
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
      state = pack({ data }, { bytesMax: STATE_BYTES_MAX, valuesMax: STATE_VALUES_MAX }, "");
    } catch (error) {
      if (!(error instanceof NotPlain)) throw error;
      return this.host.onNotPlain(
        `a socket of namespace ${nsp} is not kept, and its client comes back as a new one`,
        error,
      );
    }
    if (!conn.persist(nsp, pid, textOf(sid), textsOf(rooms), state)) {
      this.host.onTooLong(`the state of socket ${sid}`, state.length);
    }
  }

  /**
   * Asks all nodes for the socket of a client that is back at `conn`, then the node of `conn` whether it has all that
   * came since: only then the socket comes back.
   */
  async restore(
    nsp: string,
    conn: Conn,
    pid: string,
    offset: string,
    host: ReturnHost,
  ): Promise<RestoredSession | null> {
    if (pid.length > ID_UNITS_MAX || offset.length > ID_UNITS_MAX) return null;
    let given = await this.ask(nsp, pid, offset);
    if (given?.restored.found === Found.taken) {
      debug("socket %s was given out before", given.restored.socket);
      await host.takeOver(keyOf(given.restored.socket) as string);
      given = await this.ask(nsp, pid, offset);
    }
    if (given?.restored.found !== Found.yes) return null;
    const { link, restored } = given;
    const { missed, log, last, cut } = restored;
    const sid = keyOf(restored.socket) as string;
    const back: Return = { sid, pid, conn, missed, log, last, cut, release: () => link.giveBack(nsp, pid) };
    host.onGiven(back);
    const session = this.readSession(pid, sid, restored);
    if (session !== null && (await proves(conn, cut)) && conn.readyState === "open") return session;
    host.onUnused(back);
    return null;
  }

  /** The first node that has it; else one that has given it out; else nothing. */
  private ask(nsp: string, pid: string, offset: string): Promise<Given | undefined> {
    const links = this.links().filter((link) => link.isUp);
    if (links.length === 0) return Promise.resolve(undefined);
    if (!links.every((link) => link.numbers)) {
      this.host.onOldNode();
      return Promise.resolve(undefined);
    }
    return new Promise((resolve) => {
      let asked = links.length;
      let taken: Given | undefined;
      let isOver = false;
      const finish = (given: Given | undefined): void => {
        isOver = true;
        clearTimeout(timer);
        resolve(given);
      };
      const giveUp = (): void => {
        if (isOver) return;
        debug("not all nodes answered within %d ms", ANSWER_MS_MAX);
        finish(taken);
      };
      const timer = setTimeout(() => whenRead(giveUp), ANSWER_MS_MAX);
      for (const link of links) {
        link.restore(nsp, pid, offset, (restored) => {
          asked--;
          if (isOver) {
            // Too late for us, and given out all the same.
            if (restored?.found === Found.yes) link.giveBack(nsp, pid);
            return;
          }
          if (restored?.found === Found.yes) return finish({ link, restored });
          if (restored?.found === Found.taken) taken ??= { link, restored };
          if (asked === 0) finish(taken);
        });
      }
    });
  }

  /** What was missed is not in it: it leaves when the socket is connected, together with what came meanwhile. */
  private readSession(pid: string, sid: string, { rooms, data }: RestoredAt): RestoredSession | null {
    try {
      const state = Object(unpack(data)) as { data?: unknown };
      return { sid, pid, rooms: [...new Set([sid, ...rooms.map(keyOf)])], data: state.data ?? {}, missedPackets: [] };
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      this.host.onUnreadable(error);
      return null;
    }
  }
}

function proves(conn: Conn, cut: Position[]): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => whenRead(() => resolve(false)), ANSWER_MS_MAX);
    conn.prove(cut, (holds) => {
      clearTimeout(timer);
      resolve(holds);
    });
  });
}
