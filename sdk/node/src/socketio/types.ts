/**
 * The shapes of socket.io, engine.io and socket.io-adapter that Trunkline uses, including private members, and their
 * numbers. `internals.ts` uses the private members, `bases.ts` finds the classes.
 */
import type { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";

/** What `useTrunkline` takes: a Socket.IO `Server`, whatever its type parameters. */
export interface SocketIoServer {
  readonly engine: object;
  path(): string;
  close(done?: (error?: Error) => void): unknown;
}

/** An engine middleware, as `io.engine.use` takes it. */
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

/** The options of the `cookie` package that Engine.IO passes on. */
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

/** The callback of Engine.IO's checks: without arguments the request is accepted. */
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

/** The constructor of engine.io's `BaseServer`. */
export type EngineBaseConstructor = (new (
  options: EngineOptions,
) => EngineBase) & {
  readonly prototype: EngineBase;
  readonly errors: Record<string, number>;
  readonly errorMessages: Record<number, string>;
};

/** The engine that socket.io creates itself, for direct clients. */
export interface DirectEngine extends EngineBase {
  handleRequest?(request: IncomingMessage, response: ServerResponse): unknown;
  handleUpgrade?(request: IncomingMessage, socket: unknown, head: Buffer): void;
}

/** A Socket.IO packet, as far as we use it. */
export interface Packet {
  type: number;
  nsp?: string;
  data?: unknown;
  id?: number;
}

/** One Engine.IO message from the app's parser: text, or any value that engine.io treats as binary. */
export type EncodedPart = string | Uint8Array | ArrayBuffer | ArrayBufferView;

/** The encoder of a parser. */
export interface Encoder {
  encode(packet: Packet): EncodedPart[];
}

/** The decoder of a parser. */
export interface Decoder extends EventEmitter {
  add(part: unknown): void;
  destroy?(): void;
}

/** The app's `parser` option, as far as we use it. */
export interface Parser {
  readonly Decoder: new () => Decoder;
}

/** socket.io-parser's numbers. */
export const PacketType = { CONNECT: 0, DISCONNECT: 1, EVENT: 2, ACK: 3, CONNECT_ERROR: 4 } as const;

/** A Socket.IO server's socket, as far as we use it. */
export interface IoSocket {
  readonly id: string;
  readonly nsp: IoNamespace;
  readonly acks: Map<number, (...args: unknown[]) => void>;
  readonly client: IoClient;
  /** The private id, with connection state recovery. */
  readonly pid?: string;
  readonly data: unknown;
  readonly handshake: { auth: unknown; issued: number; time: string };
  adapter: AdapterBase;
  listenersAnyOutgoing(): unknown[];
  notifyOutgoingListeners?(packet: Packet): void;
  packet(packet: Packet): void;
  disconnect(close: boolean): unknown;
  /** The callback of a packet that wants an answer. */
  ack(id: number): unknown;
  _onclose(reason: string, details?: unknown): unknown;
}

/** A client with all of its sockets: the private class between connections and sockets. */
export interface IoClient {
  readonly conn: unknown;
  /** socket.io-parser's decoder has a `reconstructor` while a packet with attachments is not complete. */
  readonly decoder?: { readonly reconstructor?: unknown };
  writeToEngine(parts: EncodedPart[], options: object): void;
  /** Makes a socket, now or later; answered by a packet of type `CONNECT` or `CONNECT_ERROR`. */
  connect(nsp: string, auth?: object): unknown;
  _packet(packet: Packet, options?: object): unknown;
}

/** A namespace, with the private members that we use. */
export interface IoNamespace {
  readonly name: string;
  readonly sockets: Map<string, IoSocket>;
  readonly server: { readonly _parser: Parser };
  adapter: AdapterBase;
  /**
   * Handles a client that asks for a socket here. The adapter's methods that it calls before its first `await` concern
   * that client.
   */
  _add(client: IoClient, auth: unknown, ...rest: unknown[]): unknown;
  _createSocket(client: IoClient, auth: unknown): Promise<IoSocket>;
  /** The next acknowledgement's number: one space for all sockets of the namespace. */
  _ids: number;
  _onServerSideEmit(args: unknown[]): void;
}

/** The flags of a broadcast, as `io.volatile` and other modifiers set them. */
export interface BroadcastFlags {
  volatile?: boolean;
  compress?: boolean;
  local?: boolean;
  timeout?: number;
  /** Set by `emitWithAck` of one `RemoteSocket`. */
  expectSingleResponse?: boolean;
}

/** The receivers and flags of a broadcast, as adapters get them. */
export interface BroadcastOptions {
  rooms: Set<unknown>;
  except?: Set<unknown>;
  flags?: BroadcastFlags;
}

/** A socket in the result of `fetchSockets`: one of ours, or one that another app server described. */
export interface FetchedSocket {
  readonly id: string;
  readonly rooms: Iterable<unknown>;
}

/** The kept state of a socket whose client may return. */
export interface PersistedSession {
  sid: string;
  pid: string;
  rooms: unknown[];
  data: unknown;
}

/** A kept socket together with the packets that its client missed. */
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
  /** Encodes for many sockets; the parts of one WebSocket frame for all of them go into `written`. */
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

/** The constructor of an adapter. */
export type AdapterConstructor = new (nsp: IoNamespace) => AdapterBase;

/** A Socket.IO server with its private members that we use. */
export interface ServerInternals extends SocketIoServer {
  engine: EngineBase;
  eio?: DirectEngine;
  opts: EngineOptions & { connectionStateRecovery?: false | { maxDisconnectionDuration: number } };
  _nsps: Map<string, IoNamespace>;
  _connectTimeout: number;
  _parser: Parser;
  encoder: Encoder;
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
