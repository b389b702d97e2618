/** The handshake's request and response, as an app's middlewares and `socket.request` see them. */
import { EventEmitter } from "node:events";
import { IncomingMessage, ServerResponse, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http";
import type { Socket as NetSocket } from "node:net";
import { RequestFlag, type ClientRequest, type ClientResponse, type Header } from "../trunk/frames.js";

/** Headers of which Node.js keeps the first value and drops the others. */
const SINGLE = new Set(
  (
    "age authorization content-length content-type etag expires from host if-modified-since if-unmodified-since last-modified location " +
    "max-forwards proxy-authorization referer retry-after server user-agent"
  ).split(" "),
);

type Listener = (...args: unknown[]) => void;

/** The stream of a request. The node has the real one, so this object can do little. */
export class ClientStream {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly encrypted: boolean;
  declare readable: boolean;
  declare writable: boolean;
  destroyed = false;
  /**
   * The session on this stream. Set to undefined at first, so that it has a place in the object: adding it later would
   * take 40 bytes more.
   */
  onDestroyed: { handleStreamDestroyed(): void } | undefined = undefined;

  constructor(address: string, port: number, flags: number) {
    this.remoteAddress = address;
    this.remotePort = port;
    this.encrypted = (flags & RequestFlag.encrypted) !== 0;
  }

  get remoteFamily(): string {
    return this.remoteAddress.includes(":") ? "IPv6" : "IPv4";
  }

  /** Disconnects the client; apps call this before the handshake is complete. */
  destroy(): this {
    if (!this.destroyed) {
      this.destroyed = true;
      this.readable = false;
      this.writable = false;
      (this as unknown as EventEmitter).emit("close");
      this.onDestroyed?.handleStreamDestroyed();
    }
    return this;
  }

  end(): this {
    return this.destroy();
  }

  address(): object {
    return {};
  }

  setTimeout(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}
Object.assign(ClientStream.prototype, { readable: true, writable: true });
// The first listener creates the table of listeners. Calling the constructor would create one for each client.
Object.setPrototypeOf(ClientStream.prototype, EventEmitter.prototype);

/** The keys under which the headers are kept after the first access, as in Node.js. */
const HEADERS = Symbol("headers");
const HEADERS_DISTINCT = Symbol("headersDistinct");

/** Properties that a request inherits from its prototype and apps may read. */
const INHERITED = [
  "httpVersion",
  "httpVersionMajor",
  "httpVersionMinor",
  "complete",
  "aborted",
  "headers",
  "headersDistinct",
  "connection",
  "on",
  "addListener",
  "once",
  "read",
  "resume",
  "pause",
  "unpipe",
  "pipe",
  "setEncoding",
  "setTimeout",
  "destroy",
] as const;

/**
 * The request of a handshake. There is one for each client, so the prototype has everything that is the same for all.
 */
export class HandshakeRequest {
  method: string;
  url: string;
  rawHeaders: string[];
  /** JSON of the token's verified claims, or an empty string. */
  claims: string;
  _query: Record<string, string>;
  socket: NetSocket;
  declare httpVersion: string;
  declare httpVersionMajor: number;
  declare httpVersionMinor: number;
  declare complete: boolean;
  declare aborted: boolean;
  declare res?: ServerResponse;
  /**
   * The headers. Set to undefined until the first access, which Socket.IO makes for each client: adding them then would
   * take 32 bytes more.
   */
  private [HEADERS]: IncomingHttpHeaders | undefined = undefined;
  declare private [HEADERS_DISTINCT]?: Record<string, string[]>;

  constructor({ method, url, rawHeaders, claims, address, port, flags }: ClientRequest) {
    this.method = method;
    this.url = url;
    this.rawHeaders = rawHeaders;
    this.claims = claims;
    this._query = parseQuery(url);
    this.socket = new ClientStream(address, port, flags) as unknown as NetSocket;
  }

  get headers(): IncomingHttpHeaders {
    return (this[HEADERS] ??= joinHeaders(this.rawHeaders));
  }
  set headers(value: IncomingHttpHeaders) {
    this[HEADERS] = value;
  }

  get headersDistinct(): Record<string, string[]> {
    return (this[HEADERS_DISTINCT] ??= distinctHeaders(this.rawHeaders));
  }
  set headersDistinct(value: Record<string, string[]>) {
    this[HEADERS_DISTINCT] = value;
  }

  get connection(): NetSocket {
    return this.socket;
  }
  set connection(value: NetSocket) {
    this.socket = value;
  }

  /** Copies inherited properties to the object, for middlewares that replace a request's prototype, as Express does. */
  standAlone(): this {
    for (const name of INHERITED) {
      Object.defineProperty(this, name, { value: this[name], writable: true, configurable: true, enumerable: true });
    }
    return this;
  }

  /** Adds a listener. A handshake has no body, so listeners for its end are called at once. */
  on(event: string, listener: Listener): this {
    EventEmitter.prototype.on.call(this as unknown as EventEmitter, event, listener);
    if (event === "end" || event === "close") process.nextTick(() => listener.call(this));
    return this;
  }
  addListener(event: string, listener: Listener): this {
    return this.on(event, listener);
  }
  once(event: string, listener: Listener): this {
    if (event === "end" || event === "close") process.nextTick(() => listener.call(this));
    else EventEmitter.prototype.once.call(this as unknown as EventEmitter, event, listener);
    return this;
  }

  read(): null {
    return null;
  }
  resume(): this {
    return this;
  }
  pause(): this {
    return this;
  }
  unpipe(): this {
    return this;
  }
  pipe<T extends { end(): unknown }>(target: T): T {
    target.end();
    return target;
  }
  setEncoding(): this {
    return this;
  }
  setTimeout(): this {
    return this;
  }
  destroy(): this {
    this.socket.destroy();
    return this;
  }
}
Object.assign(HandshakeRequest.prototype, {
  httpVersion: "1.1",
  httpVersionMajor: 1,
  httpVersionMinor: 1,
  complete: true,
  aborted: false,
});
// Makes `instanceof IncomingMessage` true without its constructor, which would create a readable stream for each
// client.
Object.setPrototypeOf(HandshakeRequest.prototype, IncomingMessage.prototype);

/** The request with the type that Node.js's and Socket.IO's APIs expect. */
export function asIncoming(request: HandshakeRequest): IncomingMessage {
  return request as unknown as IncomingMessage;
}

function joinHeaders(flat: string[]): IncomingHttpHeaders {
  const headers: IncomingHttpHeaders = {};
  for (let index = 0; index < flat.length; index += 2) {
    const name = flat[index] as string;
    const value = flat[index + 1] as string;
    const present = Object.hasOwn(headers, name) ? headers[name] : undefined;
    if (name === "set-cookie") {
      if (Array.isArray(present)) present.push(value);
      else headers[name] = [value];
    } else if (present === undefined) headers[name] = value;
    else if (!SINGLE.has(name)) headers[name] = `${String(present)}${name === "cookie" ? "; " : ", "}${value}`;
  }
  return headers;
}

function distinctHeaders(flat: string[]): Record<string, string[]> {
  const distinct = Object.create(null) as Record<string, string[]>;
  for (let index = 0; index < flat.length; index += 2)
    (distinct[flat[index] as string] ??= []).push(flat[index + 1] as string);
  return distinct;
}

/** A query without escapes in which each part has a name and a value, as every Socket.IO client sends it. */
const PLAIN_QUERY = /^[\w/.-]*\?[A-Za-z]\w*=[\w.-]*(?:&[A-Za-z]\w*=[\w.-]*)*$/;

const TRANSPORTS = ["websocket", "polling"] as const;
/** The queries of clients that send no parameters of their own. */
const BARE_QUERIES = TRANSPORTS.map((transport) => ({ transport, text: `EIO=4&transport=${transport}` }));

function parsePlainQuery(url: string, start: number): Record<string, string> {
  for (const { transport, text } of BARE_QUERIES) {
    // A literal: it is smaller than an object that grows, and shares its texts with all others.
    if (url.length === start + text.length && url.endsWith(text)) return { EIO: "4", transport };
  }
  const query: Record<string, string> = {};
  for (let from = start; from < url.length; ) {
    const equals = url.indexOf("=", from);
    const next = url.indexOf("&", equals);
    const end = next < 0 ? url.length : next;
    query[url.slice(from, equals)] = url.slice(equals + 1, end);
    from = end + 1;
  }
  const transport = TRANSPORTS.find((name) => name === query.transport);
  // Shares the text instead of keeping a copy for each client.
  if (transport !== undefined) query.transport = transport;
  return query;
}

function parseQuery(url: string): Record<string, string> {
  const start = url.indexOf("?");
  if (start < 0) return {};
  if (PLAIN_QUERY.test(url)) return parsePlainQuery(url, start + 1);
  const end = url.indexOf("#", start);
  return Object.fromEntries(new URLSearchParams(end < 0 ? url.slice(start + 1) : url.slice(start + 1, end)));
}

/** Headers that belong to one connection, not to the answer: the node makes its own. */
const HOP_BY_HOP = new Set(["connection", "keep-alive", "transfer-encoding", "date"]);

/** Properties that a response must keep when its prototype is replaced. */
const CAPTURING = ["captured", "writeHead", "write", "end", "flushHeaders", "keep"];

/** A response that keeps what is written to it, for the node. */
export class CapturedResponse extends ServerResponse {
  private readonly chunks: Buffer[] = [];
  private readonly ended: () => void;

  /** @param ended called once, when the response is complete */
  constructor(request: HandshakeRequest, ended: () => void) {
    super(asIncoming(request));
    this.ended = ended;
    // As for the request: Express replaces the prototype.
    const own = CapturedResponse.prototype as unknown as Record<string, unknown>;
    for (const name of CAPTURING)
      Object.defineProperty(this, name, { value: own[name], writable: true, configurable: true });
  }

  /** The response as it was written. */
  captured(): ClientResponse {
    return { status: this.statusCode, headers: headerList(this.getHeaders()), body: Buffer.concat(this.chunks) };
  }

  override writeHead(status: number, ...rest: unknown[]): this {
    const given = typeof rest[0] === "string" ? rest[1] : rest[0];
    if (!this.headersSent) setHeaders(this, given);
    // The base class then knows that the head is written. Without a stream it sends nothing.
    return super.writeHead(status);
  }

  override write(chunk: unknown, ...rest: unknown[]): boolean {
    this.keep(chunk, rest[0]);
    callLast(rest);
    return true;
  }

  override end(...args: unknown[]): this {
    if (this.finished) return this;
    if (typeof args[0] !== "function") this.keep(args[0], args[1]);
    else if (!this.headersSent) this.writeHead(this.statusCode);
    this.finished = true;
    this.ended();
    process.nextTick(() => {
      this.emit("finish");
      this.emit("close");
    });
    callLast(args);
    return this;
  }

  override flushHeaders(): void {
    if (!this.headersSent) this.writeHead(this.statusCode);
  }

  private keep(chunk: unknown, encoding: unknown): void {
    if (!this.headersSent) this.writeHead(this.statusCode);
    if (typeof chunk === "string")
      this.chunks.push(Buffer.from(chunk, typeof encoding === "string" ? (encoding as BufferEncoding) : "utf8"));
    else if (chunk instanceof Uint8Array) this.chunks.push(Buffer.from(chunk));
  }
}

function callLast(args: unknown[]): void {
  const last = args[args.length - 1];
  if (typeof last === "function") process.nextTick(last as () => void);
}

function setHeaders(response: ServerResponse, given: unknown): void {
  if (Array.isArray(given)) {
    const pairs: unknown[][] = Array.isArray(given[0]) ? (given as unknown[][]) : pairUp(given as unknown[]);
    for (const [name, value] of pairs) response.setHeader(String(name), value as string);
  } else if (typeof given === "object" && given !== null) {
    for (const [name, value] of Object.entries(given)) {
      if (value !== undefined) response.setHeader(name, value as string);
    }
  }
}

function pairUp(flat: unknown[]): unknown[][] {
  const pairs: unknown[][] = [];
  for (let index = 0; index + 1 < flat.length; index += 2) pairs.push([flat[index], flat[index + 1]]);
  return pairs;
}

/** Headers as the trunk carries them: lower-case names, one entry for each value. */
export function headerList(headers: OutgoingHttpHeaders | Record<string, unknown>): Header[] {
  const list: Header[] = [];
  for (const [key, value] of Object.entries(headers)) {
    const name = key.toLowerCase();
    if (value === undefined || value === null || HOP_BY_HOP.has(name)) continue;
    for (const one of Array.isArray(value) ? (value as unknown[]) : [value]) list.push({ name, value: String(one) });
  }
  return list;
}
