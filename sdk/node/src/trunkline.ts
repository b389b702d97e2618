/** Connects one Socket.IO server to its nodes: opens and closes the trunks, and reports their state. */
import createDebug from "debug";
import { randomBytes } from "node:crypto";
import { EventEmitter } from "node:events";
import { createAdapter } from "./adapter/adapter.js";
import type { AdapterHost } from "./adapter/scope.js";
import { Cluster, isMember } from "./cluster/cluster.js";
import { Conn } from "./session/conn.js";
import { createEngine, type TrunklineEngine } from "./engine/engine.js";
import { TrunklineError } from "./trunk/errors.js";
import { keyOf } from "./data/keys.js";
import { findBases } from "./socketio/bases.js";
import {
  engineSettings,
  extendClose,
  installAdapter,
  installEngine,
  namespacesOf,
  recoveryMs,
  unhonouredOptions,
  watchAttachApp,
} from "./socketio/internals.js";
import { internalsOf, type SocketIoServer } from "./socketio/types.js";
import { TRUNK_PATH, type ResolvedOptions } from "./options.js";
import { Recovery } from "./recovery/recovery.js";
import { Departure } from "./rehome/departure.js";
import { Keeper } from "./rehome/keeper.js";
import { Moves } from "./rehome/moves.js";
import { Nodes } from "./nodes.js";
import { Reports } from "./reports.js";
import type { TrunklineStats } from "./stats.js";
import { Tokens } from "./tokens.js";
import { openWire } from "./transport/ws.js";
import { Trunk } from "./trunk/trunk.js";
import type { TrunkHost } from "./trunk/trunk_types.js";
import type { NodeInfo } from "./trunk/info.js";
import type { Broadcast } from "./trunk/outbound_types.js";
import { SDK } from "./version.js";

const debug = createDebug("trunkline:server");

/** The time in which other app servers learn that this one leaves: many times what a message takes. */
const LEAD_MS = 100;

/** Events of a {@link Trunkline}, with what their listeners get. */
export interface TrunklineEvents {
  /** A trunk is up. */
  connect: [{ endpoint: string; node: string; version: string }];
  /** A trunk broke, and its sessions ended; another attempt follows, unless its node has left the cluster. */
  disconnect: [TrunklineError];
  /** All trunks were given up. The error is also written to the console. */
  error: [TrunklineError];
  /** A message for the operator. Without a listener it is written to the console. */
  warning: [string];
}

/** A Socket.IO server behind Trunkline, as `useTrunkline` returns it. */
export class Trunkline extends EventEmitter<TrunklineEvents> {
  /** Resolves when the first trunk is up; rejects when none will ever be. */
  readonly ready: Promise<void>;
  /** The tokens of clients. */
  readonly tokens: Tokens = new Tokens(() => this.nodes.trunks);
  private readonly io: SocketIoServer;
  private readonly engine: TrunklineEngine;
  private readonly cluster: Cluster;
  private readonly options: ResolvedOptions;
  /** Undefined where clients end with the app server that they are connected to. */
  private readonly keeper: Keeper | undefined;
  private readonly reports = new Reports({
    emitWarning: (message) => this.emit("warning", message),
  });
  private readonly nodes: Nodes;
  private readonly moves = new Moves();
  private readonly counters = {
    messagesSent: 0,
    bytesSent: 0,
    messagesReceived: 0,
    bytesReceived: 0,
    broadcasts: 0,
    broadcastsDropped: 0,
    unsent: 0,
    reconnects: 0,
    resumed: 0,
  };
  /** The number of the last broadcast. Every trunk carries the same broadcasts, with the same numbers. */
  private lastBroadcast = 0;
  /**
   * Whether a trunk has ever been up. If so, no refusal is final: it may come from a proxy, or from a node that
   * restarts with another key or version.
   */
  private everUp = false;
  private closing: Promise<void> | undefined;
  /** Whether the app attached an HTTP server after `io.close()`: trunks open again once the former ones are closed. */
  private reopens = false;
  /** Whether the app called {@link Trunkline.close}, after which no trunk opens again. */
  private givenUp = false;
  /** How long a hand-over waits before it begins. */
  private leadMs = 0;
  /** Whether the app has asked for the end of all clients that could go to other app servers. */
  private endsAtOnce = false;
  private started = false;
  /** Whether the trunks may open: the app has called `open()`, or does not use `open: "manual"`. */
  private isOpened: boolean;
  /** The app's options that were last sent to the nodes. */
  private settingsSaid: Record<string, unknown> | undefined;
  private resolveReady!: () => void;
  private rejectReady!: (error: TrunklineError) => void;

  constructor(io: SocketIoServer, options: ResolvedOptions) {
    super();
    this.io = io;
    this.options = options;
    this.isOpened = options.open === "auto";
    this.ready = new Promise((resolve, reject) => {
      this.resolveReady = resolve;
      this.rejectReady = reject;
    });
    // A rejection must not end an app that does not wait for `ready`; the reason is on the console.
    this.ready.catch(() => undefined);
    const inner = internalsOf(io);
    const bases = findBases(io);
    const keepMs = recoveryMs(io);
    this.cluster = new Cluster(randomBytes(16).toString("base64url"), {
      onWarning: (message) => this.reports.warn(message),
      onNotPlain: (what, cause) => this.reports.notPlain(what, cause),
    });
    if (keepMs !== undefined && options.rehome) {
      this.keeper = new Keeper({
        onNotPlain: (what, cause) => this.reports.notPlain(what, cause),
        onTooLong: (what, bytes) => this.reports.tooLong(what, bytes),
      });
    }
    this.engine = createEngine(
      bases.Engine,
      { ...inner.opts, path: io.path() },
      {
        recovers: keepMs !== undefined,
        clientsBelongAt: options.direct ? undefined : clientAddress(options.endpoints[0]),
        closesPaced: options.close === "paced",
        onEngineClose: () => void this.closeTrunks(),
        onAttached: () => this.handleAttached(),
        onOptionsChanged: () => this.compareOptions(),
        onUnhonoured: (sentence) => this.reports.unhonoured(sentence),
        onTooLong: (what, bytes) => this.reports.tooLong(what, bytes),
        keeper: this.keeper,
        moves: this.moves,
        codec: inner,
        onUnreadable: (cause) => this.reports.unreadable(cause),
      },
    );
    const recovery =
      keepMs === undefined
        ? undefined
        : new Recovery(keepMs, () => this.nodes.trunks, {
            onTooLong: (what, bytes) => this.reports.tooLong(what, bytes),
            onNotPlain: (what, cause) => this.reports.notPlain(what, cause),
            onOldNode: () => this.reports.oldNode(),
            onUnreadable: (cause) => this.reports.unreadable(cause),
          });
    installAdapter(
      io,
      () => createAdapter(bases, this.adapterHost(recovery)),
      (name, isReplaced) => this.reports.adapter(name, isReplaced),
    );
    installEngine(io, this.engine);
    extendClose(
      io,
      () => this.handOver(),
      () => this.closeTrunks(),
    );
    watchAttachApp(io, (sentence) => this.reports.unhonoured(sentence));
    const host = this.trunkHost();
    this.nodes = new Nodes(options.endpoints, {
      newTrunk: (url) => this.newTrunk(url, host),
      onWarning: (message) => this.reports.warn(message),
      sessions: () => this.engine.sessionCount,
    });
    this.nodes.begin();
    // In a later turn: by then the app has attached its HTTP server, set its options and added its listeners.
    setImmediate(() => this.start());
  }

  /** The present figures of this app server. */
  get stats(): TrunklineStats {
    return {
      trunksUp: this.nodes.countUp,
      trunks: this.nodes.count,
      peers: this.cluster.serverCount - 1,
      sessions: this.engine.sessionCount,
      ...this.counters,
      heldBytes: this.nodes.trunks.reduce((sum, trunk) => sum + trunk.heldBytes, 0),
      tooLong: this.reports.tooLongCount,
      adopted: this.keeper?.adopted ?? 0,
      handedOver: this.keeper?.handedOver ?? 0,
      moved: this.moves.moved,
    };
  }

  /**
   * Opens the trunks of an app with `open: "manual"`, which calls this once all its listeners are added. Returns
   * {@link Trunkline.ready}. Further calls, and calls without that option, only return the promise.
   */
  open(): Promise<void> {
    if (!this.isOpened) {
      this.isOpened = true;
      if (this.started) this.connect();
    }
    return this.ready;
  }

  /**
   * Counts the bytes that wait in the node for a client, from any app server and broadcasts included. The result is
   * undefined for a client that is not behind Trunkline or has gone, and with a node of an older version.
   */
  bufferedBytes(socket: { readonly conn: unknown }): Promise<number | undefined> {
    const { conn } = socket;
    return conn instanceof Conn ? conn.measure() : Promise.resolve(undefined);
  }

  /**
   * Tells the node what is in `socket.data` now, so that it survives the death of this process; otherwise the node has
   * what it was up to a second before. Resolves when the node has it, to true; to false for a client that would not go
   * to another app server.
   */
  save(socket: { readonly conn: unknown }): Promise<boolean> {
    const { conn } = socket;
    return this.keeper !== undefined && conn instanceof Conn ? this.keeper.save(conn) : Promise.resolve(false);
  }

  /**
   * Gives the clients behind Trunkline to other app servers, disconnects those that cannot go, sends what was written
   * before, then closes the trunks. `io.close()` does the same. After `io.close()`, `io.listen()` and `io.attach()` open
   * the trunks again; after `close()` they do not.
   * @param options.rehome `false` disconnects all clients at once, also while they are given to others
   */
  async close(options: { readonly rehome?: boolean } = {}): Promise<void> {
    this.givenUp = true;
    if (options.rehome !== false) await this.handOver();
    else if (this.keeper !== undefined) {
      this.endsAtOnce = true;
      this.keeper.departure?.stop();
    }
    return this.closeTrunks();
  }

  /** Gives clients to other app servers. Undefined when there is none to give. */
  private handOver(): Promise<void> | undefined {
    const { keeper, engine } = this;
    if (keeper === undefined || this.closing !== undefined) return undefined;
    if (keeper.departure === undefined) {
      const { trunks } = this.nodes;
      this.nodes.stop();
      for (const trunk of trunks) trunk.drain();
      // A node may have given us a session of another app server before it reads that we leave.
      const fences = trunks.map((trunk) => trunk.fence()).filter((fence) => fence !== undefined);
      if (fences.length === 0) return undefined;
      debug("handing over the sessions, %d in all", engine.sessionCount);
      keeper.departure = new Departure(
        keeper,
        engine.conns,
        Promise.all(fences),
        this.options.handOverTimeout,
        this.leadMs,
      );
    }
    return keeper.departure.done;
  }

  private closeTrunks(): Promise<void> {
    this.reopens = false;
    this.closing ??= this.shutDown();
    return this.closing;
  }

  private newTrunk(url: URL, host: TrunkHost<Trunk>): Trunk {
    const { hub, key, tls, everyRequest } = this.options;
    const rehome = this.keeper !== undefined;
    const config = { url, hub, key, tls, server: this.cluster.id, sdk: SDK, everyRequest, rehome, openWire };
    return new Trunk(config, host, this.counters);
  }

  /** Handles an HTTP server that the app attached: options may have changed, and a closed server opens again. */
  private handleAttached(): void {
    if (this.closing === undefined) return this.compareOptions();
    if (this.givenUp || this.reopens) return;
    this.reopens = true;
    void this.closing.then(() => this.reopen());
  }

  private reopen(): void {
    if (!this.reopens) return;
    this.reopens = false;
    this.closing = undefined;
    this.settingsSaid = undefined;
    // `io.close()` has unregistered the adapters; the namespaces are in use again.
    for (const { name, adapter } of namespacesOf(this.io)) if (isMember(adapter)) this.cluster.register(name, adapter);
    this.nodes.begin();
    this.connect();
  }

  private adapterHost(recovery: Recovery | undefined): AdapterHost {
    return {
      cluster: this.cluster,
      recovery,
      rehomes: this.keeper !== undefined,
      broadcast: (broadcast) => this.broadcast(broadcast),
      operate: (operate) => {
        this.keeper?.lately.note(operate);
        for (const trunk of this.nodes.trunks) if (!trunk.operate(operate)) this.reports.tooLongOperation(operate.nsp);
      },
      noteOperation: (operate) => this.keeper?.lately.note(operate),
      release: (nsp) => {
        for (const trunk of this.nodes.trunks) trunk.release(nsp);
      },
      together: (action) => this.nodes.trunks.reduce((inner, trunk) => () => trunk.together(inner), action)(),
      onUnreadable: (nsp, error) =>
        this.reports.warn(`a packet of another app server in namespace ${nsp} was ignored: ${String(error)}`),
    };
  }

  private broadcast(broadcast: Broadcast): void {
    const count = ++this.lastBroadcast;
    for (const trunk of this.nodes.trunks) {
      if (!trunk.broadcast(broadcast, count)) {
        this.reports.tooLong(
          `a broadcast in namespace ${broadcast.nsp}`,
          broadcast.parts.reduce((sum, part) => sum + part.length, 0),
        );
      }
    }
  }

  private start(): void {
    this.started = true;
    this.compareOptions();
    this.reports.begin();
    this.connect();
  }

  private connect(): void {
    if (!this.isOpened || this.closing !== undefined) return;
    this.nodes.connect();
  }

  private async shutDown(): Promise<void> {
    debug("closing %d sessions and %d trunks", this.engine.sessionCount, this.nodes.trunks.length);
    this.nodes.stop();
    const { trunks } = this.nodes;
    // First, so that a client that reconnects at once is not given to this process again.
    for (const trunk of trunks) trunk.drain();
    this.engine.endSessions(this.endsAtOnce);
    await Promise.all(trunks.map((trunk) => trunk.close()));
    this.rejectReady(
      new TrunklineError("closed", "Trunkline was closed before a trunk was up", { endpoint: "", final: true }),
    );
  }

  private trunkHost(): TrunkHost<Trunk> {
    return {
      nextBroadcast: () => this.lastBroadcast + 1,
      opening: (trunk) => this.nodes.opening(trunk),
      wayBack: (trunk) => this.nodes.wayBack(trunk),
      spareDelayMs: () => this.nodes.spareDelayMs(),
      onNodes: (trunk, nodes) => this.nodes.handleNodes(trunk, nodes),
      settings: () => (this.settingsSaid = this.settings()),
      onUp: (trunk, info) => this.onUp(trunk, info),
      onDown: (trunk, error, wasDraining) => this.onDown(trunk, error, wasDraining),
      onRetry: (trunk, error) => this.onRetry(trunk, error),
      givesUp: (trunk) => this.givesUp(trunk),
      onFinal: (_trunk, error) => this.onFinal(error),
      onWarning: (trunk, message) => this.reports.warn(`${trunk.endpoint}: ${message}`),
      onTick: () => this.compareOptions(),
      onOpen: (machine, open) => this.engine.handleOpen(machine, open),
      onAdopt: (machine, adopt) => this.engine.handleAdopt(machine, adopt),
      onTurnEnd: () => this.keeper?.endTurn(),
      onPeers: (trunk, servers) => this.cluster.handlePeers(trunk, servers),
      onRelayed: (from, payload) => this.cluster.handleRelayed(from, payload),
      onOperate: (operate) => {
        for (const nsp of namespacesOf(this.io))
          if (nsp.name === keyOf(operate.nsp)) this.keeper?.lately.carryOut(nsp, operate);
      },
      onRequest: (machine, request) => this.engine.handleInquiry(machine, request),
    };
  }

  private onUp(trunk: Trunk, { node, version, everyRequest, frames }: NodeInfo): void {
    this.everUp = true;
    this.nodes.handleUp(trunk);
    this.tokens.handleUp(trunk);
    // Its node knows nothing yet of our leaving.
    if (this.keeper?.departure !== undefined) trunk.drain();
    if (frames.has("Operate")) this.leadMs = LEAD_MS;
    if (this.options.everyRequest && !everyRequest) {
      this.reports.warn(
        `${trunk.endpoint}: everyRequest: node ${node} of version ${version} cannot do this; engine middlewares see the handshake of a client only`,
      );
    }
    this.reports.endTrouble(trunk);
    this.resolveReady();
    this.emit("connect", { endpoint: trunk.endpoint, node, version });
  }

  private onDown(trunk: Trunk, error: TrunklineError, wasDraining: boolean): void {
    const isExpected = this.nodes.handleDown(trunk, wasDraining);
    if (!isExpected) {
      this.reports.isNewTrouble(trunk, error);
      this.reports.warn(`${error.message}; its sessions have ended, trying again`);
    }
    this.emit("disconnect", error);
  }

  private onRetry(trunk: Trunk, error: TrunklineError): void {
    const report = this.nodes.reportOf(trunk);
    if (report === undefined || !this.reports.isNewTrouble(trunk, error)) return;
    this.reports.warn(`${error.message}; trying again until it works${report.hint}`);
  }

  /**
   * Decides whether a refusal is final, and if so gives up the other trunks. It is final only if no trunk has ever been
   * up and every node refuses: then the app's options are wrong, and a caller that waits for `ready` must get an error.
   */
  private givesUp(last: Trunk): boolean {
    const { trunks } = this.nodes;
    if (this.everUp || !trunks.every((trunk) => trunk.isRefused)) return false;
    for (const trunk of trunks) if (trunk !== last) trunk.giveUp();
    return true;
  }

  private onFinal(error: TrunklineError): void {
    console.error(`trunkline: ${error.message.replace(/\.$/, "")}. This is final: the app server does not try again.`);
    this.rejectReady(error);
    if (this.listenerCount("error") > 0) this.emit("error", error);
  }

  private compareOptions(): void {
    if (this.started) for (const sentence of unhonouredOptions(this.io)) this.reports.unhonoured(sentence);
    const said = this.settingsSaid;
    if (said === undefined) return;
    const now = this.settings();
    const changed = Object.keys({ ...said, ...now }).filter(
      (name) => JSON.stringify(said[name]) !== JSON.stringify(now[name]),
    );
    if (changed.length === 0) return;
    this.settingsSaid = now;
    const late = changed.filter((name) => UNCHANGEABLE.has(name));
    if (late.length > 0) {
      this.reports.warn(
        `${late.join(", ")}: changed after the trunk was opened, and the nodes keep the former value until it is opened anew; say it to the server at once`,
      );
    }
    if (late.length === changed.length) return;
    // Nodes ignore new values of these options, but a value that they cannot honour would end the trunk.
    const rest = Object.fromEntries(Object.entries(now).filter(([name]) => !OF_HELLO.has(name)));
    for (const trunk of this.nodes.trunks) trunk.changeSettings(JSON.stringify(rest));
  }

  private settings(): Record<string, unknown> {
    return {
      ...engineSettings(this.io),
      ...OF_SDK,
      ...(this.options.everyRequest && { everyRequest: true }),
      ...(this.keeper !== undefined && { rehome: true }),
      ...(recoveryMs(this.io) !== undefined && { operates: true }),
    };
  }
}

/**
 * Not options of the app: broadcasts have numbers, a trunk to each node is opened, sessions go from node to node, and
 * it is told when one has ended on its way.
 */
const OF_SDK = { numbers: true, nodes: true, moves: true, moveEnds: true };
/**
 * Options that a node takes from `Hello` and never from `Settings`: where clients find the app, and how streams are
 * compressed.
 */
const OF_HELLO: ReadonlySet<string> = new Set([
  ...Object.keys(OF_SDK),
  "path",
  "addTrailingSlash",
  "perMessageDeflate",
  "rehome",
  "operates",
]);
/** Options that the nodes, or Socket.IO itself, read only once. */
const UNCHANGEABLE: ReadonlySet<string> = new Set([...OF_HELLO, "connectionStateRecovery"]);

/** The address at which clients find the node that has this trunk listener. */
function clientAddress(trunk: URL | undefined): string {
  return trunk === undefined ? "" : trunk.href.replace(/^ws/, "http").replace(TRUNK_PATH, "");
}
