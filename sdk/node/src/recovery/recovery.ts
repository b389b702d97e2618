/**
 * Connection state recovery: the sockets and packets for clients that return. Nodes keep those of clients behind
 * Trunkline (`spec/trunk.md`, section 9), for all app servers of the hub. Those of direct clients are kept here
 * (`direct_log.ts`).
 */
import createDebug from "debug";
import { randomBytes } from "node:crypto";
import { pack, unpack } from "../data/pack.js";
import type { Conn } from "../session/conn.js";
import type { Reattached } from "../session/line.js";
import {
  PacketType,
  type BroadcastOptions,
  type Packet,
  type PersistedSession,
  type RestoredSession,
} from "../socketio/types.js";
import { keyOf, textOf, textsOf } from "../data/keys.js";
import { NotPlain, type LeftOut } from "../data/not_plain.js";
import { Unreadable } from "../data/unreadable.js";
import { whenRead } from "../trunk/when_read.js";
import { Found, type FrameBodies, type Position } from "../trunk/frames.js";

const debug = createDebug("trunkline:recovery");

/**
 * The longest private id and offset that are accepted. Clients send both and may be hostile; our own are far shorter.
 */
const ID_UNITS_MAX = 128;
const ANSWER_MS_MAX = 2_000;
/** The longest `data` of a socket that is kept; a socket with more returns as a new one. */
const STATE_BYTES_MAX = 1024 * 1024;
const STATE_VALUES_MAX = 1 << 17;

type RestoredAt = FrameBodies["RestoredAt"];

/** A trunk, as far as recovery uses it. */
export interface RestoreLink {
  readonly isUp: boolean;
  /**
   * Whether the node numbers broadcasts: without numbers it is unknown which broadcasts a client got from another node.
   */
  readonly numbers: boolean;
  restore(nsp: string, pid: string, offset: string, done: (restored: RestoredAt | undefined) => void): void;
  giveBack(nsp: string, pid: string): void;
}

/** A socket that is about to return: the node has given it, and it is not connected yet. */
export interface Return extends Reattached {
  readonly sid: string;
  readonly conn: Conn;
  /** Gives the socket up, so that another attempt may have it. */
  release(): void;
}

/**
 * Whether a packet is recorded for clients that return. As in Socket.IO: events, except volatile ones and those that
 * wait for an acknowledgement.
 */
export function isRecorded(packet: Packet, { flags }: BroadcastOptions): boolean {
  return packet.type === PacketType.EVENT && packet.id === undefined && flags?.volatile === undefined;
}

/** Receives the reports of a recovery. */
export interface RecoveryHost {
  onTooLong(what: string, bytes: number): void;
  /** A socket's state cannot be encoded: its client will return with a new socket. */
  onNotPlain(what: string, cause: LeftOut): void;
  /** A node of an earlier release is connected. */
  onOldNode(): void;
  /** A kept socket cannot be read: its client returns with a new socket. */
  onUnreadable(cause: Unreadable): void;
}

/** The part of a socket's namespace in its return. */
export interface ReturnHost {
  /** Ends the socket if it is still connected, to this or another app server. */
  takeOver(sid: string): Promise<void>;
  /** Called when the node has given the socket to this app server. */
  onGiven(back: Return): void;
  /** Called when the socket that was given cannot be used. */
  onUnused(back: Return): void;
}

interface Given {
  readonly link: RestoreLink;
  readonly restored: RestoredAt;
}

/** The recovery of sockets behind Trunkline, for all namespaces of an app server. */
export class Recovery {
  /** The time for which a client may be away. */
  readonly keepMs: number;
  private readonly links: () => readonly RestoreLink[];
  private readonly host: RecoveryHost;
  /** The beginning of each offset. Offsets are unique in the hub: a random head for each process, then a number. */
  private readonly head = randomBytes(6).toString("base64url");
  private last = 0;

  constructor(keepMs: number, links: () => readonly RestoreLink[], host: RecoveryHost) {
    this.keepMs = keepMs;
    this.links = links;
    this.host = host;
  }

  nextOffset(): string {
    return this.head + (++this.last).toString(36);
  }

  /** Gives a socket to its client's node. */
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
   * Asks all nodes for the socket of a client that returns in `conn`, then the node of `conn` whether it has everything
   * sent since. Only then the socket returns.
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

  /** The answer of the first node that has the socket; otherwise of one that has given it out; otherwise undefined. */
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
            // Too late for this attempt, so the socket is returned to the node.
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

  /**
   * Reads the kept session, without the missed packets: these are sent when the socket is connected, together with
   * later ones.
   */
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
