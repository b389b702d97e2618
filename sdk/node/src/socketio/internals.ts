/**
 * What Trunkline does to the privates of socket.io, engine.io and socket.io-adapter; their shapes are in `types.ts`.
 * `test/internals.test.js` checks each of them against the installed release and fails by name when one has moved.
 *
 * Nothing is imported from socket.io at run time: its classes are taken from the app's own `Server`, so that they are
 * the app's own copies whatever package manager or bundler put them there.
 */
import type { EventEmitter } from "node:events";
import { findBases, type Bases } from "./bases.js";
import { moveEvent } from "./listeners.js";
import { keepMs, nodeSettings, type SaidOptions } from "./settings.js";
import {
  internalsOf,
  isForeign,
  type AdapterBase,
  type AdapterConstructor,
  type DirectEngine,
  type EncodedPart,
  type EngineBase,
  type IoNamespace,
  type IoSocket,
  type ServerInternals,
  type SocketIoServer,
} from "./types.js";

/**
 * Puts an engine in front of the one that socket.io made, or will make, for its own HTTP server, which keeps working
 * behind it.
 */
export function installEngine(io: SocketIoServer, engine: EngineBase & { adopt(direct: DirectEngine): void }): void {
  const inner = internalsOf(io);
  const bind = inner.bind.bind(inner);
  const present = inner.engine as DirectEngine | undefined;
  if (present === undefined) {
    bind(engine);
  } else {
    // With them goes socket.io's own "connection" listener.
    if (!isForeign(present)) moveListeners(present, engine);
    engine.adopt(present);
    inner.engine = engine;
  }
  inner.bind = (direct: EngineBase) => {
    engine.adopt(direct);
    return inner;
  };
}

/** `io.close()` is done when what we still had to say has left, too: an app may end its process right after it. */
export function extendClose(io: SocketIoServer, closeOurs: () => Promise<void>): void {
  const close = io.close.bind(io);
  (io as { close: SocketIoServer["close"] }).close = async (done) => {
    const error = await new Promise<Error | undefined>((resolve) => void close(resolve));
    await closeOurs();
    done?.(error);
  };
}

function moveListeners(from: EventEmitter, to: EventEmitter): void {
  for (const event of from.eventNames()) moveEvent(from, to, event);
}

/**
 * Replaces the adapter of every namespace, present and future, for good: Socket.IO's documents have others installed in
 * a later line, and what such a one broadcasts does not reach a node. What the present ones hold, and who listens to
 * them, moves over.
 * @param onForeign called with the name of an adapter that is not used, and whether ours took its place
 */
export function installAdapter(
  io: SocketIoServer,
  create: (bases: Bases) => AdapterConstructor,
  onForeign: (name: string, isReplaced: boolean) => void,
): void {
  const inner = internalsOf(io);
  const bases = findBases(io);
  const before = inner.adapter();
  const old = new Map([...inner._nsps.values()].map((nsp) => [nsp, nsp.adapter]));
  const ours = create(bases);
  inner.adapter(ours);
  for (const [nsp, adapter] of old) {
    moveListeners(adapter, nsp.adapter);
    for (const [id, rooms] of adapter.sids) nsp.adapter.addAll(id, rooms);
    for (const socket of nsp.sockets.values()) socket.adapter = nsp.adapter;
  }
  if (before !== bases.Adapter && before !== bases.RecoveryAdapter) {
    onForeign(constructorName(old.get(inner.sockets)) ?? adapterName(before), true);
    for (const adapter of old.values()) closeQuietly(adapter);
  }
  inner.adapter = ((constructor?: AdapterConstructor) => {
    if (constructor === undefined) return ours;
    if (constructor !== ours) onForeign(adapterName(constructor), false);
    return inner;
  }) as ServerInternals["adapter"];
  const guard = (nsp: IoNamespace): void =>
    guardAdapter(nsp, ours, (adapter) => onForeign(constructorName(adapter) ?? "another", false));
  GUARDS.set(ours, guard);
  for (const nsp of old.keys()) guard(nsp);
}

const GUARDS = new WeakMap<AdapterConstructor, (nsp: IoNamespace) => void>();

/** For a namespace of later: an adapter of ours calls it before the namespace has it. */
export function guardNamespace(nsp: IoNamespace, ours: AdapterConstructor): void {
  GUARDS.get(ours)?.(nsp);
}

/** `io.of("/chat").adapter = …` is no public way, and taken all the same. */
function guardAdapter(nsp: IoNamespace, ours: AdapterConstructor, onForeign: (adapter: object) => void): void {
  let present = nsp.adapter;
  Object.defineProperty(nsp, "adapter", {
    get: () => present,
    set: (adapter: AdapterBase) => {
      if (adapter instanceof ours) present = adapter;
      else if (typeof adapter === "object" && adapter !== null) {
        onForeign(adapter);
        closeQuietly(adapter);
      }
    },
    configurable: true,
    enumerable: true,
  });
}

/**
 * `createAdapter(…)` returns a function without a name, which makes an object of a class with one. It is not called: it
 * would begin to work.
 */
function adapterName(constructor: unknown): string {
  if (typeof constructor !== "function") return typeof constructor;
  return (
    constructor.name || (/\bnew ([\w$.]+)\(/.exec(Function.prototype.toString.call(constructor))?.[1] ?? "another")
  );
}

function constructorName(adapter: object | undefined): string | undefined {
  return adapter?.constructor.name || undefined;
}

/** It would go on listening to its broker, and sending to it. What it says to that is not the app's concern. */
function closeQuietly(adapter: AdapterBase): void {
  void Promise.resolve()
    .then(() => adapter.close())
    .catch(() => undefined);
}

/** The namespaces there are now, with their adapters. */
export function namespacesOf(io: SocketIoServer): IterableIterator<IoNamespace> {
  return internalsOf(io)._nsps.values();
}

/**
 * Has socket.io's own adapter make, of what is encoded already, the frame that all WebSockets of this process can
 * share.
 */
export function shareFrame(plain: AdapterBase, encoded: EncodedPart[], written: object): void {
  plain._encode?.call({ encoder: { encode: () => encoded } } as unknown as AdapterBase, undefined, written);
}

/** The options that the node carries out for us, as the app said them. */
function saidOptions(io: SocketIoServer): SaidOptions {
  const inner = internalsOf(io);
  return {
    ...inner.engine.opts,
    // `attach` and `listen` may say another than the server.
    path: inner.engine.opts.path || io.path(),
    connectTimeout: inner._connectTimeout,
    connectionStateRecovery: inner.opts.connectionStateRecovery,
    // Our own word, not an option: broadcasts have numbers.
    numbers: inner.opts.connectionStateRecovery ? true : undefined,
  };
}

/** `Hello.settings`. */
export function engineSettings(io: SocketIoServer): Record<string, unknown> {
  return nodeSettings(saidOptions(io)).settings;
}

/** What the app asks for and clients behind Trunkline do not get: one sentence for each. */
export function unhonouredOptions(io: SocketIoServer): string[] {
  const inner = internalsOf(io);
  const { defaults } = findBases(io);
  const said = [inner.opts, inner.engine.opts];
  const list = nodeSettings(saidOptions(io)).unhonoured;
  if (said.some(({ wsEngine }) => wsEngine !== undefined && wsEngine !== defaults.wsEngine)) {
    list.push(
      "wsEngine: the node speaks WebSocket itself; the option holds for clients that come straight to this server",
    );
  }
  if (said.some(({ initialPacket }) => initialPacket)) {
    list.push(
      "initialPacket: the node answers the handshake itself; the option holds for clients that come straight to this server",
    );
  }
  return list;
}

/**
 * `io.attachApp` puts a uWebSockets.js server's own publishing in place of the adapter's, for all servers of the
 * process.
 */
export function watchAttachApp(io: SocketIoServer, notice: (sentence: string) => void): void {
  const inner = internalsOf(io);
  const attachApp = inner.attachApp?.bind(inner);
  if (attachApp === undefined) return;
  inner.attachApp = (app, options) => {
    notice(
      "attachApp: a uWebSockets.js server beside Trunkline is not supported: broadcasts may miss the clients that come straight to it",
    );
    return attachApp(app, options);
  };
}

/**
 * How long a client may be away and still find its socket, in milliseconds; undefined when the app does not recover.
 */
export function recoveryMs(io: SocketIoServer): number | undefined {
  const options = internalsOf(io).opts.connectionStateRecovery;
  return options ? keepMs(options.maxDisconnectionDuration) : undefined;
}

const CONNECTING = Symbol("trunkline.connecting");

interface ConnectingNamespace extends IoNamespace {
  [CONNECTING]?: unknown;
}

/**
 * Notes whose socket a namespace is about to make: the adapter is asked for a kept one without a word of the client
 * that wants it.
 */
export function watchConnecting(nsp: ConnectingNamespace): void {
  if (Object.hasOwn(nsp, CONNECTING)) return;
  Object.defineProperty(nsp, CONNECTING, { value: undefined, writable: true });
  const add = nsp._add;
  const watched = (client: { readonly conn: unknown }, ...rest: unknown[]): unknown => {
    nsp[CONNECTING] = client.conn;
    try {
      return add.call(nsp, client, ...rest);
    } finally {
      nsp[CONNECTING] = undefined;
    }
  };
  Object.defineProperty(nsp, "_add", { value: watched, writable: true, configurable: true, enumerable: false });
}

/** The connection that a namespace is about to make a socket for, now. */
export function connectingConn(nsp: ConnectingNamespace): unknown {
  return nsp[CONNECTING];
}

const OUTGOING = Symbol("trunkline.outgoing");

/** An adapter that wants to know which of its sockets have listeners for outgoing packets. */
export interface OutgoingWatcher {
  [OUTGOING]?: (socket: IoSocket) => void;
}

/** Something listens now for what is written to this socket. */
export function noticeListener(socket: IoSocket): void {
  (socket.adapter as AdapterBase & OutgoingWatcher)[OUTGOING]?.(socket);
}

export function watchOutgoing(adapter: AdapterBase & OutgoingWatcher, notice: (socket: IoSocket) => void): void {
  adapter[OUTGOING] = notice;
}

/**
 * Wraps the two methods that add such listeners, once for each class of sockets: a broadcast need not look at each
 * receiver to find them.
 */
export function patchOutgoing(socket: IoSocket): void {
  const proto = Object.getPrototypeOf(socket) as Record<string | symbol, unknown>;
  if (proto[OUTGOING] === true) return;
  for (const name of ["onAnyOutgoing", "prependAnyOutgoing"]) {
    const original = proto[name] as (this: IoSocket, listener: unknown) => unknown;
    const wrapped = function (this: IoSocket, listener: unknown): unknown {
      const result = original.call(this, listener);
      noticeListener(this);
      return result;
    };
    Object.defineProperty(proto, name, { value: wrapped, writable: true, configurable: true, enumerable: false });
  }
  Object.defineProperty(proto, OUTGOING, { value: true });
}
