/** `io.engine`: an engine.io server whose clients come over trunks, in front of the one that serves the app's own HTTP server. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Conn, type ConnHost } from "./conn.js";
import { closeDoor } from "./door.js";
import { answerRequest, Handshake, type Accepted, type HandshakeEngine } from "./handshake.js";
import { closeForeignDoor, countOf, isForeign, optionsOf, unhonouredBy } from "./foreign_engine.js";
import type { DirectEngine, EngineBase, EngineBaseConstructor, EngineOptions } from "./internals.js";
import { makesOwnIds, overriddenMethods, shareListeners } from "./own_engine.js";
import { HandshakeRequest } from "./request.js";
import { NODE_OPTIONS } from "./settings.js";
import { CloseReason, type FrameBodies, type Header } from "./trunk/frames.js";
import type { Machine } from "./trunk/machine.js";
import type { Trunk } from "./trunk/trunk.js";

export interface EngineOwner {
  /** Where clients must go, when the app's own HTTP server takes none. */
  readonly clientsBelongAt: string | undefined;
  readonly recovers: boolean;
  /** Whether the node ends the sessions of an app server that leaves. */
  readonly closesPaced: boolean;
  onEngineClose(): void;
  /** The app attached an HTTP server, and may have said other options with it. */
  onAttached(): void;
  /** The app has changed `io.engine.opts`, or an option in it. */
  onOptionsChanged(): void;
  /** The app uses something that clients behind Trunkline do not pass through. */
  onUnhonoured(sentence: string): void;
  onTooLong(what: string, bytes: number): void;
}

/** What our engine adds to engine.io's. */
export interface TrunklineEngine extends EngineBase, ConnHost {
  /** Clients behind Trunkline, without the direct ones. */
  readonly sessionCount: number;
  adopt(direct: DirectEngine): void;
  handleOpen(trunk: Trunk, machine: Machine, open: FrameBodies["Open"]): void;
  handleInquiry(machine: Machine, request: FrameBodies["Request"]): void;
  /** Ends every session behind Trunkline, for `io.close()`. */
  endSessions(): void;
}

const FORWARDED = ["connection", "connection_error", "initial_headers", "headers", "flush", "drain"];
const NO_HEADERS: Header[] = [];

export function createEngine(Base: EngineBaseConstructor, options: EngineOptions, owner: EngineOwner): TrunklineEngine {
  class Bare extends Base {
    init(): void {
      // There is nothing to listen on.
    }
  }

  class Engine extends Base implements HandshakeEngine, TrunklineEngine {
    /** Those behind Trunkline. */
    private count = 0;
    watchesFlush = false;
    private direct: DirectEngine | undefined;
    private isComparing = false;

    constructor() {
      super(options);
      this.watchOptions();
      // `io.engine.clientsCount` counts every client of this process, whichever door it came through.
      Object.defineProperty(this, "clientsCount", {
        get: () => this.count + (this.direct === undefined ? 0 : countOf(this.direct)),
        set: () => undefined,
        enumerable: true,
        configurable: true,
      });
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
      return this.count;
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

    endSessions(): void {
      for (const conn of Object.values(this.clients) as Conn[]) {
        if (owner.closesPaced) conn.abandon("forced close");
        else conn.end(CloseReason.serverShuttingDown, "forced close");
      }
    }

    handleRequest(request: IncomingMessage, response: ServerResponse): unknown {
      return this.direct?.handleRequest?.(request, response);
    }

    handleUpgrade(request: IncomingMessage, socket: unknown, head: Buffer): void {
      this.direct?.handleUpgrade?.(request, socket, head);
    }

    /** Both engines then have the same options, middlewares and listeners: the app says them once, to `io.engine`. */
    adopt(direct: DirectEngine): void {
      if (isForeign(direct)) return this.adoptForeign(direct);
      // Both constructors made a middleware of the `cors` option; one of them is enough.
      const added = this.middlewares.slice(this.opts.cors ? 1 : 0);
      this.direct = direct;
      direct.opts = Object.assign(this.opts, direct.opts);
      direct.middlewares = this.middlewares = [...(direct.middlewares ?? []), ...added];
      if (makesOwnIds(direct)) this.generateId = direct.generateId.bind(direct);
      Object.defineProperty(direct, "generateId", {
        get: () => (request: IncomingMessage) => this.generateId(request),
        set: (generateId: EngineBase["generateId"]) => (this.generateId = generateId),
        configurable: true,
        enumerable: true,
      });
      const overridden = overriddenMethods(direct);
      if (overridden.length > 0) {
        owner.onUnhonoured(`${overridden.join(", ")} of the app's own engine: the node does this itself; it holds for clients that come straight to this server`);
      }
      shareListeners(direct, this, FORWARDED);
      if (owner.clientsBelongAt !== undefined) closeDoor(direct, owner.clientsBelongAt);
      owner.onAttached();
    }

    private adoptForeign(direct: DirectEngine): void {
      this.direct = direct;
      const options = optionsOf(direct);
      Object.assign(this.opts, options);
      if (options.cors) this.middlewares.push(...new Bare({ cors: options.cors }).middlewares);
      const unhonoured = unhonouredBy(direct);
      if (unhonoured !== undefined) owner.onUnhonoured(unhonoured);
      shareListeners(direct, this, FORWARDED);
      if (owner.clientsBelongAt !== undefined) closeForeignDoor(direct, owner.clientsBelongAt);
      owner.onAttached();
    }

    handleOpen(trunk: Trunk, machine: Machine, open: FrameBodies["Open"]): void {
      if (!this.asksTheApp(open.eio)) {
        const conn = this.createConn(trunk, machine, open, open.sid, new HandshakeRequest(open.request));
        this.admit(machine, conn, "", NO_HEADERS, NO_HEADERS);
        return;
      }
      const accept = (request: HandshakeRequest, { sid, headers, lasting }: Accepted): Conn => {
        const conn = this.createConn(trunk, machine, open, sid || open.sid, request);
        this.admit(machine, conn, sid, headers, lasting);
        return conn;
      };
      new Handshake(this, machine, open, accept).run();
    }

    handleInquiry(machine: Machine, request: FrameBodies["Request"]): void {
      answerRequest(this, machine, request);
    }

    forget(conn: Conn): void {
      this.count--;
      // Ids of the app's own making may come twice: then another has the place.
      if (this.clients[conn.id] === conn) delete this.clients[conn.id];
    }

    onUnhonoured(sentence: string): void {
      owner.onUnhonoured(sentence);
    }

    onTooLong(what: string, bytes: number): void {
      owner.onTooLong(what, bytes);
    }

    /** The `ws` server of direct clients, as apps look for it here. */
    get ws(): unknown {
      return (this.direct as { ws?: unknown } | undefined)?.ws;
    }

    attach(server: unknown, attachOptions?: object): void {
      (this.direct as { attach?(server: unknown, options?: object): void } | undefined)?.attach?.(server, attachOptions);
    }

    /** Engine.IO reads its options when it needs them, so that apps change them while they run. */
    private watchOptions(): void {
      let present = this.opts;
      const changed = (): void => {
        if (this.isComparing) return;
        this.isComparing = true;
        queueMicrotask(() => {
          this.isComparing = false;
          owner.onOptionsChanged();
        });
      };
      watchFields(present, changed);
      Object.defineProperty(this, "opts", {
        get: () => present,
        set: (opts: EngineOptions) => {
          present = opts;
          if (this.direct !== undefined) this.direct.opts = opts;
          watchFields(opts, changed);
          changed();
        },
        configurable: true,
        enumerable: true,
      });
    }

    /** Every way to add a listener comes by here. */
    private noticeWatcher(event: string | symbol): this {
      if (event === "flush" || event === "drain") this.watchesFlush = true;
      return this;
    }

    /** Whether the app has anything to say about a handshake. When not, it costs neither a response object nor a look at the headers. */
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

    private createConn(trunk: Trunk, machine: Machine, open: FrameBodies["Open"], sid: string, request: HandshakeRequest): Conn {
      const { session, eio } = open;
      return new Conn(this, trunk, machine, session, sid, request, open.request.address, eio, open.request.transport);
    }

    private admit(machine: Machine, conn: Conn, sid: string, headers: Header[], lasting: Header[]): void {
      machine.accept(conn.number, conn, sid, headers, lasting);
      this.count++;
      this.clients[conn.id] = conn;
      this.emit("connection", conn);
    }
  }

  return new Engine();
}

function watchFields(opts: EngineOptions, changed: () => void): void {
  const fields = opts as Record<string, unknown>;
  for (const name of NODE_OPTIONS) {
    let value = fields[name];
    Object.defineProperty(opts, name, {
      get: () => value,
      set: (next: unknown) => {
        value = next;
        changed();
      },
      configurable: true,
      enumerable: true,
    });
  }
}
