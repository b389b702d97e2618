/**
 * The shapes of socket.io, engine.io and socket.io-adapter that Trunkline touches, privates included, and their
 * numbers. What is done with the privates is in `internals.ts`, where the classes come from in `bases.ts`.
 */
import type { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";

/** What `useTrunkline` takes: a Socket.IO `Server`, whatever its type parameters. */
export interface SocketIoServer {
  readonly engine: object;
  path(): string;
  close(done?: (error?: Error) => void): unknown;
}

export type Middleware = (
  request: IncomingMessage,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => unknown;

/** Engine.IO's own options, as far as we read them. */
export interface EngineOptions {
  path?: string;
  addTrailingSlash?: boolean;
  pingInterval?: number;
  pingTimeout?: number;
  upgradeTimeout?: number;
  maxHttpBufferSize?: number;
  maxBufferedChunks?: number;
  httpRequestBodyTimeout?: number;
  transports?: string[];
  allowUpgrades?: boolean;
  allowEIO3?: boolean;
  httpCompression?: unknown;
  perMessageDeflate?: unknown;
  cors?: unknown;
  cookie?: false | CookieOptions;
  wsEngine?: unknown;
  initialPacket?: unknown;
  allowRequest?: (
    request: IncomingMessage,
    done: (message: string | null | undefined, success: boolean) => void,
  ) => void;
}

export interface CookieOptions {
  name: string;
  path?: string;
  domain?: string;
  maxAge?: number;
  expires?: Date;
  httpOnly?: boolean;
  secure?: boolean;
  partitioned?: boolean;
  priority?: string;
  sameSite?: boolean | string;
}

export type VerifyCallback = (code?: number, context?: Record<string, unknown>) => void;

/** An engine.io server: `BaseServer`, with its protected members. */
export interface EngineBase extends EventEmitter {
  opts: EngineOptions;
  clients: Record<string, unknown>;
  clientsCount: number;
  middlewares: Middleware[];
  use(middleware: Middleware): void;
  close(): this;
  generateId(request: IncomingMessage): string | PromiseLike<string>;
  verify(request: IncomingMessage, upgrade: boolean, done: VerifyCallback): unknown;
  _applyMiddlewares(request: IncomingMessage, response: ServerResponse, done: (error?: unknown) => void): void;
}

export type EngineBaseConstructor = (new (
  options: EngineOptions,
) => EngineBase) & {
  readonly prototype: EngineBase;
  readonly errors: Record<string, number>;
  readonly errorMessages: Record<number, string>;
};

/** The engine that socket.io creates itself, for clients that come straight to the app's HTTP server. */
export interface DirectEngine extends EngineBase {
  handleRequest?(request: IncomingMessage, response: ServerResponse): unknown;
  handleUpgrade?(request: IncomingMessage, socket: unknown, head: Buffer): void;
}

export interface Packet {
  type: number;
  nsp?: string;
  data?: unknown;
  id?: number;
}

/** One Engine.IO message as the app's parser makes it: text, or anything that engine.io takes as binary. */
export type EncodedPart = string | Uint8Array | ArrayBuffer | ArrayBufferView;

export interface Encoder {
  encode(packet: Packet): EncodedPart[];
}

export interface Decoder extends EventEmitter {
  add(part: unknown): void;
  destroy?(): void;
}

/** What the app's `parser` option is, as far as we use it. */
export interface Parser {
  readonly Decoder: new () => Decoder;
}

/** socket.io-parser's numbers. */
export const PacketType = { DISCONNECT: 1, EVENT: 2 } as const;

export interface IoSocket {
  readonly id: string;
  readonly nsp: IoNamespace;
  readonly acks: Map<number, (...args: unknown[]) => void>;
  readonly client: { readonly conn: unknown; writeToEngine(parts: EncodedPart[], options: object): void };
  adapter: AdapterBase;
  listenersAnyOutgoing(): unknown[];
  notifyOutgoingListeners?(packet: Packet): void;
  packet(packet: Packet): void;
  _onclose(reason: string): unknown;
}

export interface IoNamespace {
  readonly name: string;
  readonly sockets: Map<string, IoSocket>;
  readonly server: { readonly _parser: Parser };
  adapter: AdapterBase;
  /** A client wants a socket here. What it calls of the adapter before it first waits is about that client. */
  _add(client: { readonly conn: unknown }, ...rest: unknown[]): unknown;
  /** The next acknowledgement's number: one space for all sockets of the namespace. */
  _ids: number;
  _onServerSideEmit(args: unknown[]): void;
}

export interface BroadcastFlags {
  volatile?: boolean;
  compress?: boolean;
  local?: boolean;
  timeout?: number;
  /** Of `emitWithAck` to one `RemoteSocket`. */
  expectSingleResponse?: boolean;
}

export interface BroadcastOptions {
  rooms: Set<unknown>;
  except?: Set<unknown>;
  flags?: BroadcastFlags;
}

/** A socket as `fetchSockets` gives it: one of ours, or what another app server tells of its own. */
export interface FetchedSocket {
  readonly id: string;
  readonly rooms: Iterable<unknown>;
}

/** What is kept of a socket for the time when its client comes back. */
export interface PersistedSession {
  sid: string;
  pid: string;
  rooms: unknown[];
  data: unknown;
}

export interface RestoredSession extends PersistedSession {
  /** The data of each event, oldest first. */
  missedPackets: unknown[][];
}

/** The numbers of socket.io-adapter's `MessageType`, which app servers use among themselves. */
export const MessageType = {
  BROADCAST: 3,
  SOCKETS_JOIN: 4,
  SOCKETS_LEAVE: 5,
  DISCONNECT_SOCKETS: 6,
  FETCH_SOCKETS: 7,
  FETCH_SOCKETS_RESPONSE: 8,
  SERVER_SIDE_EMIT: 9,
  SERVER_SIDE_EMIT_RESPONSE: 10,
  BROADCAST_CLIENT_COUNT: 11,
  BROADCAST_ACK: 12,
} as const;

/** socket.io-adapter's `Adapter`, with its private members. */
export interface AdapterBase extends EventEmitter {
  readonly nsp: IoNamespace;
  rooms: Map<unknown, Set<string>>;
  sids: Map<string, Set<unknown>>;
  encoder: Encoder;
  init(): unknown;
  close(): unknown;
  addAll(id: string, rooms: Set<unknown>): unknown;
  del(id: string, room: unknown): unknown;
  delAll(id: string): void;
  broadcast(packet: Packet, options: BroadcastOptions): void;
  broadcastWithAck(
    packet: Packet,
    options: BroadcastOptions,
    count: (clients: number) => void,
    answer: (value: unknown) => void,
  ): void;
  apply(options: BroadcastOptions, visit: (socket: IoSocket) => void): void;
  /** Encodes for many sockets; what makes one WebSocket frame for all of them goes into `written`. */
  _encode?(packet: unknown, written: object): EncodedPart[];
  sockets(rooms: Set<unknown>): Promise<Set<string>>;
  fetchSockets(options: BroadcastOptions): Promise<FetchedSocket[]>;
  addSockets(options: BroadcastOptions, rooms: unknown[]): void;
  delSockets(options: BroadcastOptions, rooms: unknown[]): void;
  disconnectSockets(options: BroadcastOptions, close: boolean): void;
  serverSideEmit(packet: unknown[]): void;
  serverCount(): Promise<number>;
  persistSession(session: PersistedSession): void;
  restoreSession(pid: string, offset: string): Promise<RestoredSession | null> | null;
}

export type AdapterConstructor = new (nsp: IoNamespace) => AdapterBase;

export interface ServerInternals extends SocketIoServer {
  engine: EngineBase;
  eio?: DirectEngine;
  opts: EngineOptions & { connectionStateRecovery?: false | { maxDisconnectionDuration: number } };
  _nsps: Map<string, IoNamespace>;
  _connectTimeout: number;
  sockets: IoNamespace;
  adapter(): AdapterConstructor;
  adapter(constructor: AdapterConstructor): unknown;
  attach(server: unknown): unknown;
  initEngine(server: unknown, options: object): void;
  attachApp?(app: unknown, options?: object): unknown;
  bind(engine: EngineBase): unknown;
}

/** @throws TypeError when `io` is no Socket.IO 4 server */
export function internalsOf(io: SocketIoServer): ServerInternals {
  const inner = io as ServerInternals;
  if (typeof io !== "object" || io === null || !(inner._nsps instanceof Map) || typeof inner.bind !== "function") {
    throw new TypeError("useTrunkline: the first argument must be a Server of socket.io 4.6 or later");
  }
  return inner;
}

/** Whether an engine lacks what engine.io's servers have: middlewares, and listeners as in Node.js. */
export function isForeign(engine: DirectEngine): boolean {
  return !("_applyMiddlewares" in engine);
}
