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
  PacketType,
  type AdapterBase,
  type AdapterConstructor,
  type DirectEngine,
  type EncodedPart,
  type EngineBase,
  type IoClient,
  type IoNamespace,
  type IoSocket,
  type Packet,
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
    // socket.io's own "connection" listener moves with them.
    if (!isForeign(present)) moveListeners(present, engine);
    engine.adopt(present);
    inner.engine = engine;
  }
  inner.bind = (direct: EngineBase) => {
    engine.adopt(direct);
    return inner;
  };
}

/**
 * Makes `io.close()` wait until our last messages have been sent, too: an app may end its process right after it.
 * @param handOver gives the clients to other app servers first; undefined when there is nothing to give
 */
export function extendClose(
  io: SocketIoServer,
  handOver: () => Promise<void> | undefined,
  closeOurs: () => Promise<void>,
): void {
  const close = io.close.bind(io);
  (io as { close: SocketIoServer["close"] }).close = async (done) => {
    const handedOver = handOver();
    if (handedOver !== undefined) await handedOver;
    const error = await new Promise<Error | undefined>((resolve) => void close(resolve));
    await closeOurs();
    done?.(error);
  };
}

function moveListeners(from: EventEmitter, to: EventEmitter): void {
  for (const event of from.eventNames()) moveEvent(from, to, event);
}

/**
 * Replaces the adapter of every namespace, present and future, permanently: Socket.IO's documentation installs other
 * adapters in a later line, and their broadcasts would not reach a node. The content of the present adapters, and their
 * listeners, move to ours.
 * @param onForeign called with the name of an adapter that is not used, and whether ours replaced it
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

/** Guards a later namespace: our adapter calls this before the namespace has it. */
export function guardNamespace(nsp: IoNamespace, ours: AdapterConstructor): void {
  GUARDS.get(ours)?.(nsp);
}

/** Handles `io.of("/chat").adapter = …`, which is not a public method but works in Socket.IO. */
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
 * The name of an adapter: `createAdapter(…)` returns a function without a name, which makes an object of a class with
 * one. The function is not called, because the adapter would start to work.
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

/** Closes an unused adapter, which would otherwise keep using its broker. Its errors do not concern the app. */
function closeQuietly(adapter: AdapterBase): void {
  void Promise.resolve()
    .then(() => adapter.close())
    .catch(() => undefined);
}

/** The present namespaces, with their adapters. */
export function namespacesOf(io: SocketIoServer): IterableIterator<IoNamespace> {
  return internalsOf(io)._nsps.values();
}

/** Lets socket.io's own adapter make, from encoded data, the frame that all WebSockets of this process can share. */
export function shareFrame(plain: AdapterBase, encoded: EncodedPart[], written: object): void {
  plain._encode?.call({ encoder: { encode: () => encoded } } as unknown as AdapterBase, undefined, written);
}

/** The options that the node applies, as the app set them. */
function saidOptions(io: SocketIoServer): SaidOptions {
  const inner = internalsOf(io);
  return {
    ...inner.engine.opts,
    // `attach` and `listen` may have set another path than the constructor.
    path: inner.engine.opts.path || io.path(),
    connectTimeout: inner._connectTimeout,
    connectionStateRecovery: inner.opts.connectionStateRecovery,
  };
}

/** `Hello.settings`. */
export function engineSettings(io: SocketIoServer): Record<string, unknown> {
  return nodeSettings(saidOptions(io)).settings;
}

/** The app's options that do not apply to clients behind Trunkline: one sentence for each. */
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
 * Watches `io.attachApp`, which replaces the adapter's publishing by that of a uWebSockets.js server, for all servers
 * of the process.
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

/** How long a client may be away and still find its socket, in milliseconds; undefined without recovery. */
export function recoveryMs(io: SocketIoServer): number | undefined {
  const options = internalsOf(io).opts.connectionStateRecovery;
  return options ? keepMs(options.maxDisconnectionDuration) : undefined;
}

const CONNECTING = Symbol("trunkline.connecting");

interface ConnectingNamespace extends IoNamespace {
  [CONNECTING]?: unknown;
}

/** A socket that a namespace makes for a client that was connected to another app server. */
export interface Arrival {
  /** The `auth` of the socket's handshake. */
  readonly auth: unknown;
  /** When the handshake was made, in milliseconds. */
  readonly issued: number | undefined;
}

/**
 * Notes for which client a namespace is about to make a socket: the adapter is asked for a kept socket without being
 * told the client.
 * @param arrival the former handshake of a socket that comes from another app server, by its connection and its `auth`
 */
export function watchConnecting(
  nsp: ConnectingNamespace,
  arrival: (conn: unknown, auth: unknown) => Arrival | undefined,
): void {
  if (Object.hasOwn(nsp, CONNECTING)) return;
  Object.defineProperty(nsp, CONNECTING, { value: undefined, writable: true });
  const add = nsp._add;
  const watched = (client: IoClient, auth: unknown, ...rest: unknown[]): unknown => {
    watchAnswers(client);
    nsp[CONNECTING] = client.conn;
    try {
      return add.call(nsp, client, arrival(client.conn, auth)?.auth ?? auth, ...rest);
    } finally {
      nsp[CONNECTING] = undefined;
    }
  };
  replace(nsp, "_add", watched);
  const create = nsp._createSocket;
  replace(nsp, "_createSocket", (client: IoClient, auth: unknown): Promise<IoSocket> => {
    const issued = arrival(client.conn, auth)?.issued;
    const made = create.call(nsp, client, auth);
    return issued === undefined ? made : made.then((socket) => withIssued(socket, issued));
  });
}

/** Gives a socket the time of its handshake, in place of the present time. */
function withIssued(socket: IoSocket, issued: number): IoSocket {
  socket.handshake.issued = issued;
  socket.handshake.time = new Date(issued).toString();
  return socket;
}

function replace(target: object, name: string | symbol, value: unknown): void {
  Object.defineProperty(target, name, { value, writable: true, configurable: true, enumerable: false });
}

/** The connection for which a namespace is making a socket now. */
export function connectingConn(nsp: ConnectingNamespace): unknown {
  return nsp[CONNECTING];
}

const OUTGOING = Symbol("trunkline.outgoing");

/** An adapter that must know which of its sockets have listeners for outgoing packets. */
export interface OutgoingWatcher {
  [OUTGOING]?: (socket: IoSocket) => void;
}

/** Notes that this socket now has a listener for outgoing packets. */
export function noticeListener(socket: IoSocket): void {
  (socket.adapter as AdapterBase & OutgoingWatcher)[OUTGOING]?.(socket);
}

/** Calls `notice` for each socket of an adapter that gets a listener for outgoing packets. */
export function watchOutgoing(adapter: AdapterBase & OutgoingWatcher, notice: (socket: IoSocket) => void): void {
  adapter[OUTGOING] = notice;
}

/**
 * Wraps the two methods that add such listeners, once for each class of sockets, so that a broadcast need not visit
 * each receiver to find them.
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

/** A connection that counts the answers that its client waits for. */
export interface Owing {
  /** One more answer is awaited, or one was given. */
  owe?(more: 1 | -1): void;
}

const ANSWERS = Symbol("trunkline.answers");
const { ACK, CONNECT, CONNECT_ERROR } = PacketType;

/** Wraps the methods of a client that take requests for sockets and send answers, once for each class of clients. */
function watchAnswers(client: IoClient): void {
  const proto = Object.getPrototypeOf(client) as IoClient & { [ANSWERS]?: true };
  if (proto[ANSWERS] === true) return;
  const { connect, _packet } = proto;
  replace(proto, ANSWERS, true);
  replace(proto, "connect", function (this: IoClient, ...args: Parameters<IoClient["connect"]>): unknown {
    (this.conn as Owing).owe?.(1);
    return connect.apply(this, args);
  });
  replace(proto, "_packet", function (this: IoClient, packet: Packet, options?: object): unknown {
    // Before it is encoded, which changes the type of a packet with bytes in it.
    const { type } = packet;
    const result = _packet.call(this, packet, options);
    if (type === ACK || type === CONNECT || type === CONNECT_ERROR) (this.conn as Owing).owe?.(-1);
    return result;
  });
  // This client is being connected.
  (client.conn as Owing).owe?.(1);
}

/** Wraps the method that makes the callback of a packet that wants an answer, once for each class of sockets. */
export function watchAsked(socket: IoSocket): void {
  const proto = Object.getPrototypeOf(socket) as IoSocket & { [ANSWERS]?: true };
  if (proto[ANSWERS] === true) return;
  const { ack } = proto;
  replace(proto, ANSWERS, true);
  replace(proto, "ack", function (this: IoSocket, id: number): unknown {
    (this.client.conn as Owing).owe?.(1);
    return ack.call(this, id);
  });
}
