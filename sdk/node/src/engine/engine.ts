/**
 * `io.engine`: an engine.io server whose clients connect over trunks, in front of the one that serves the app's own
 * HTTP server.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Conn, type ConnHost } from "../session/conn.js";
import { HandshakeRequest } from "../session/request.js";
import type { DirectEngine, EngineBase, EngineBaseConstructor, EngineOptions } from "../socketio/types.js";
import { CloseReason, Origin, type FrameBodies, type Header } from "../trunk/frames.js";
import type { Machine } from "../trunk/machine.js";
import { Unreadable } from "../data/unreadable.js";
import { Adoption, type Codec } from "../rehome/adoption.js";
import type { Keeper } from "../rehome/keeper.js";
import type { Moves } from "../rehome/moves.js";
import { readGuests, type Guest } from "../rehome/snapshot.js";
import { Stay } from "../session/stay.js";
import { adopt, type Adopter } from "./adoption.js";
import { Arrival, isAskedOnArrival } from "./arrival.js";
import { Clients } from "./clients.js";
import { countOf } from "./foreign_engine.js";
import { answerRequest, Handshake, type HandshakeEngine } from "./handshake.js";
import { watchOptions } from "./watched_options.js";

/** The parts of its owner that the engine needs. */
export interface EngineOwner extends Adopter {
  readonly recovers: boolean;
  /** Whether the node ends the sessions of an app server that leaves. */
  readonly closesPaced: boolean;
  onEngineClose(): void;
  /** Called when the app attached an HTTP server, possibly with other options. */
  onAttached(): void;
  /** The app has changed `io.engine.opts`, or an option in it. */
  onOptionsChanged(): void;
  onTooLong(what: string, bytes: number): void;
  /** Undefined where no other app server adopts sessions. */
  readonly keeper: Keeper | undefined;
  /** The sessions that go from one node to another. */
  readonly moves: Moves;
  /** The app's parser. */
  readonly codec: Codec;
  /** A session of another app server cannot be adopted, because its state cannot be read. */
  onUnreadable(cause: Unreadable): void;
}

/** The additions of our engine to engine.io's. */
export interface TrunklineEngine extends EngineBase, ConnHost {
  /** Clients behind Trunkline, without the direct ones. */
  readonly sessionCount: number;
  adopt(direct: DirectEngine): void;
  handleOpen(machine: Machine, open: FrameBodies["Open"]): void;
  /** Handles a session of another app server, which the node offers to this one. */
  handleAdopt(machine: Machine, adopt: FrameBodies["Adopt"]): void;
  handleInquiry(machine: Machine, request: FrameBodies["Request"]): void;
  /** The clients behind Trunkline. */
  readonly conns: Conn[];
  /** Ends every session behind Trunkline, for `io.close()`. @param atOnce also where the node would end them, paced */
  endSessions(atOnce: boolean): void;
}

const NO_HEADERS: Header[] = [];
/** The frames of a node that gives sessions to other app servers. */
const OF_HOMES = ["Handled", "Standing", "State"] as const;

/**
 * Makes the engine, of a class that extends the app's own copy of engine.io's. Handshakes, adoption and options are in
 * other files.
 */
export function createEngine(Base: EngineBaseConstructor, options: EngineOptions, owner: EngineOwner): TrunklineEngine {
  class Engine extends Base implements HandshakeEngine, TrunklineEngine {
    private readonly sessions = new Clients();
    watchesFlush = false;
    private direct: DirectEngine | undefined;

    constructor() {
      super(options);
      watchOptions(
        this,
        () => this.direct,
        () => owner.onOptionsChanged(),
      );
      // `io.engine.clientsCount` counts every client of this process, behind Trunkline and direct.
      Object.defineProperty(this, "clientsCount", {
        get: () => this.sessions.size + (this.direct === undefined ? 0 : countOf(this.direct)),
        set: () => undefined,
        enumerable: true,
        configurable: true,
      });
      Object.defineProperty(this, "clients", {
        get: () => this.sessions.byId,
        set: (clients: Record<string, unknown>) => (this.sessions.byId = clients),
        enumerable: true,
        configurable: true,
      });
    }

    get errorMessages(): Readonly<Record<number, string>> {
      return Base.errorMessages;
    }

    get hasOwnIds(): boolean {
      return this.generateId !== Base.prototype.generateId;
    }

    get recovers(): boolean {
      return owner.recovers;
    }

    get sessionCount(): number {
      return this.sessions.size;
    }

    get keeper(): Keeper | undefined {
      return owner.keeper;
    }

    get moves(): Moves {
      return owner.moves;
    }

    get conns(): Conn[] {
      return [...this.sessions];
    }

    /** The `ws` server of direct clients, for apps that look for it here. */
    get ws(): unknown {
      return (this.direct as { ws?: unknown } | undefined)?.ws;
    }

    override on(event: string | symbol, listener: (...args: unknown[]) => void): this {
      super.on(event, listener);
      return this.noticeWatcher(event);
    }

    override addListener(event: string | symbol, listener: (...args: unknown[]) => void): this {
      return this.on(event, listener);
    }

    override prependListener(event: string | symbol, listener: (...args: unknown[]) => void): this {
      super.prependListener(event, listener);
      return this.noticeWatcher(event);
    }

    /** Called by the base class's constructor. */
    init(): void {
      // There is nothing to listen on.
    }

    /** Called by the base class's `close`. */
    cleanup(): void {
      // As above.
    }

    override close(): this {
      owner.onEngineClose();
      this.direct?.close();
      return this;
    }

    endSessions(atOnce: boolean): void {
      for (const conn of this.conns) {
        // The node asks another app server for one that is not ours yet.
        if (!conn.accepted) conn.handOver();
        else if (owner.closesPaced && !atOnce) conn.abandon("forced close");
        else conn.endWithServer();
      }
    }

    adopt(direct: DirectEngine): void {
      this.direct = direct;
      adopt(Base, this, direct, owner);
      owner.onAttached();
    }

    handleRequest(request: IncomingMessage, response: ServerResponse): unknown {
      return this.direct?.handleRequest?.(request, response);
    }

    handleUpgrade(request: IncomingMessage, socket: unknown, head: Buffer): void {
      this.direct?.handleUpgrade?.(request, socket, head);
    }

    attach(server: unknown, attachOptions?: object): void {
      (this.direct as { attach?(server: unknown, options?: object): void } | undefined)?.attach?.(
        server,
        attachOptions,
      );
    }

    handleOpen(machine: Machine, open: FrameBodies["Open"]): void {
      if (!this.asksTheApp(open.eio)) {
        this.admit(machine, open, new HandshakeRequest(open.request), "", NO_HEADERS, NO_HEADERS);
        return;
      }
      new Handshake(this, machine, open, (request, { sid, headers, lasting }) =>
        this.admit(machine, open, request, sid, headers, lasting),
      ).run();
    }

    handleAdopt(machine: Machine, adopt: FrameBodies["Adopt"]): void {
      if (adopt.origin === Origin.moved)
        return owner.moves.noteArrives(machine, adopt.session, this.sessions.find(adopt.sid));
      const guests = this.guestsOf(adopt);
      if (guests === undefined) return machine.close(adopt.session, CloseReason.forcedClose);
      if (!isAskedOnArrival(this)) this.welcome(machine, adopt, guests, new HandshakeRequest(adopt.request));
      else new Arrival(this, machine, adopt).run((request) => this.welcome(machine, adopt, guests, request));
    }

    handleInquiry(machine: Machine, request: FrameBodies["Request"]): void {
      answerRequest(this, machine, request);
    }

    forget(conn: Conn): void {
      this.sessions.delete(conn);
      owner.keeper?.noteGone(conn);
      owner.moves.noteGone(conn);
    }

    onUnhonoured(sentence: string): void {
      owner.onUnhonoured(sentence);
    }

    onTooLong(what: string, bytes: number): void {
      owner.onTooLong(what, bytes);
    }

    /** Called for every way to add a listener. */
    private noticeWatcher(event: string | symbol): this {
      if (event === "flush" || event === "drain") this.watchesFlush = true;
      return this;
    }

    /** Whether the app takes part in a handshake. If not, no response object is made and the headers are not read. */
    private asksTheApp(eio: number): boolean {
      const { opts } = this;
      return (
        this.middlewares.length > 0 ||
        opts.allowRequest !== undefined ||
        Boolean(opts.cookie) ||
        this.hasOwnIds ||
        (eio === 3 && !opts.allowEIO3) ||
        this.listenerCount("initial_headers") > 0 ||
        this.listenerCount("headers") > 0
      );
    }

    /** @param sid the app's own id for the session, if any */
    private admit(
      machine: Machine,
      open: FrameBodies["Open"],
      request: HandshakeRequest,
      sid: string,
      headers: Header[],
      lasting: Header[],
    ): Conn {
      const { session, eio } = open;
      const conn = new Conn(
        this,
        machine,
        session,
        sid || open.sid,
        request,
        open.request.address,
        eio,
        open.request.transport,
      );
      // Engine.IO 3 has no connection state recovery, so its clients cannot go to another app server.
      if (owner.keeper !== undefined && eio !== 3 && OF_HOMES.every((frame) => machine.outbound.takes(frame)))
        conn.stay = new Stay(0);
      machine.accept(session, conn, sid, headers, lasting);
      this.enter(conn);
      this.emit("connection", conn);
      return conn;
    }

    private enter(conn: Conn): void {
      this.sessions.add(conn);
      owner.keeper?.departure?.add(conn);
    }

    /** The sockets of a session that the node offers; undefined when it cannot be adopted. */
    private guestsOf({ sockets }: FrameBodies["Adopt"]): Guest[] | undefined {
      if (owner.keeper === undefined) return undefined;
      try {
        return readGuests(sockets);
      } catch (error) {
        if (!(error instanceof Unreadable)) throw error;
        // Without bytes it was withdrawn, and that was reported where it was.
        if (!sockets.some(({ state }) => state.length === 0)) owner.onUnreadable(error);
        return undefined;
      }
    }

    /** Makes a session of another app server one of ours. */
    private welcome(
      machine: Machine,
      { session, sid, eio, transport, request: { address, transport: first } }: FrameBodies["Adopt"],
      guests: Guest[],
      request: HandshakeRequest,
    ): Conn {
      const conn = new Conn(this, machine, session, sid, request, address, eio, transport);
      conn.beginAdopted(transport !== first);
      this.enter(conn);
      const adoption = new Adoption(conn, guests, owner.codec, (isAdopted, since) => {
        if (!isAdopted || owner.keeper === undefined) return;
        owner.keeper.adopted++;
        owner.keeper.lately.repeat(conn.attachedSockets, since);
      });
      try {
        this.emit("connection", conn);
      } catch (error) {
        adoption.refuse("a connection listener of the engine throws");
        throw error;
      }
      adoption.begin();
      return conn;
    }
  }

  return new Engine();
}
