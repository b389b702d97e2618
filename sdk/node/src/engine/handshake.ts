/**
 * Lets the app take part before a request is answered: middlewares, `allowRequest`, `generateId`, the header events.
 * There is one object for each `Open` that needs it, and for each `Request`.
 */
import createDebug from "debug";
import type { EventEmitter } from "node:events";
import type { EngineBase } from "../socketio/types.js";
import { serializeCookie } from "./cookie.js";
import { asIncoming, CapturedResponse, headerList, HandshakeRequest } from "../session/request.js";
import { NO_ERROR_CODE, TransportCode, type ClientResponse, type FrameBodies, type Header } from "../trunk/frames.js";
import type { Machine } from "../trunk/machine.js";
import type { Session } from "../trunk/sessions.js";

const debug = createDebug("trunkline:engine");

const BAD_REQUEST = 3;
const FORBIDDEN = 4;
const UNSUPPORTED_PROTOCOL_VERSION = 5;

/** The engine, as far as a handshake needs it. */
export interface HandshakeEngine extends EngineBase {
  readonly errorMessages: Readonly<Record<number, string>>;
  readonly hasOwnIds: boolean;
}

/** What the app decided about an accepted session. */
export interface Accepted {
  readonly sid: string;
  readonly headers: Header[];
  readonly lasting: Header[];
}

/** Creates the session that the app has accepted. */
type Accept = (request: HandshakeRequest, answer: Accepted) => EventEmitter;

type Context = Record<string, unknown>;

/** An `Open` that is not yet answered by `Accept` or `Reject`. */
export class Handshake implements Session {
  readonly accepted = false;
  private readonly engine: HandshakeEngine;
  private readonly machine: Machine;
  private readonly open: FrameBodies["Open"];
  private readonly request: HandshakeRequest;
  private readonly response: CapturedResponse;
  private readonly accept: Accept;
  private settled = false;

  constructor(engine: HandshakeEngine, machine: Machine, open: FrameBodies["Open"], accept: Accept) {
    this.engine = engine;
    this.machine = machine;
    this.open = open;
    this.accept = accept;
    this.request = new HandshakeRequest(open.request).standAlone();
    // A middleware that answers by itself, or destroys the client's stream, has refused the session.
    this.response = new CapturedResponse(this.request, () => this.reject(this.response.captured()));
    this.request.socket.once("close", () => this.reject({ status: 400, headers: [], body: Buffer.alloc(0) }));
  }

  run(): void {
    const { engine, request, response } = this;
    this.machine.register(this.open.session, this);
    request.res = response;
    engine._applyMiddlewares(asIncoming(request), response, (error) => {
      if (this.settled) return;
      if (error !== undefined) return this.refuse(BAD_REQUEST, { name: "MIDDLEWARE_FAILURE" });
      engine.verify(asIncoming(request), this.isUpgrade, (code, context) => {
        if (this.settled) return;
        if (code !== undefined) this.refuse(code, context);
        else this.identify();
      });
    });
  }

  handleMessage(): void {
    // Not called: the machine accepts messages only after `Accept`.
  }

  handleUpgraded(): void {
    // Not called before `Accept` either.
  }

  handleMarked(): void {
    // Not called before `Accept` either.
  }

  /** Handles that the client went away. */
  handleClose(): void {
    this.abandon();
  }

  handleTrunkLost(): void {
    this.abandon();
  }

  private get isUpgrade(): boolean {
    return this.open.request.transport === TransportCode.websocket;
  }

  private identify(): void {
    const { engine, request, open } = this;
    if (open.eio === 3 && !engine.opts.allowEIO3) return this.refuse(UNSUPPORTED_PROTOCOL_VERSION, { protocol: 3 });
    if (!engine.hasOwnIds) return this.finish("");
    Promise.resolve()
      .then(() => engine.generateId(asIncoming(request)))
      .then(
        (sid) => {
          if (!this.settled) this.finish(String(sid));
        },
        (error: unknown) => this.refuse(BAD_REQUEST, { name: "ID_GENERATION_ERROR", error }),
      );
  }

  private finish(sid: string): void {
    const { engine, request, response, open } = this;
    this.settled = true;
    const events = headerEvents(engine, request, this.isUpgrade ? undefined : sid || open.sid);
    // Middlewares such as express-session add their headers when the head is written.
    response.writeHead(this.isUpgrade ? 101 : 200);
    const own = headerList(response.getHeaders()).filter((header) => !OF_THE_BODY.has(header.name));
    // If the app is asked about each answer, each answer gets its own headers.
    const lasts = (header: Header): boolean => !this.machine.asksEachRequest && !isCookie(header);
    const answer = {
      sid,
      headers: [
        ...own.filter((header) => !lasts(header)),
        ...events.headers,
        ...(this.machine.asksEachRequest ? events.lasting : []),
      ],
      lasting: this.machine.asksEachRequest ? [] : [...own.filter(lasts), ...events.lasting],
    };
    delete request.res;
    const conn = this.accept(request, answer);
    if (!this.isUpgrade) response.end();
    // Middlewares that log requests wait for this event.
    else if (response.listenerCount("close") > 0) conn.once("close", () => response.emit("close"));
  }

  private refuse(code: number, context: Context | undefined): void {
    if (this.settled) return;
    reportError(this.engine, this.request, code, context);
    if (this.isUpgrade) this.reject(abortUpgrade(this.engine, code, context));
    else abortRequest(this.engine, this.response, code, context);
  }

  private reject(response: ClientResponse): void {
    if (this.settled) return;
    this.settled = true;
    debug("handshake of %s refused with %d", this.open.sid, response.status);
    this.machine.reject(this.open.session, response);
  }

  private abandon(): void {
    if (this.settled) return;
    this.settled = true;
    this.response.emit("close");
  }
}

/**
 * Answers a `Request`, which opens no session or belongs to an existing one. It passes the middlewares and emits
 * `connection_error` like any other.
 */
export function answerRequest(engine: HandshakeEngine, machine: Machine, frame: FrameBodies["Request"]): void {
  const request = new HandshakeRequest(frame.request).standAlone();
  const upgrade = frame.request.transport === TransportCode.websocket;
  let settled = false;
  const respond = (response: ClientResponse): void => {
    if (settled) return;
    settled = true;
    machine.respond(frame.requestId, response);
  };
  const response = new CapturedResponse(request, () => respond(response.captured()));
  request.socket.once("close", () => respond({ status: 400, headers: [], body: Buffer.alloc(0) }));
  request.res = response;
  const refuse = (code: number, context: Context | undefined): void => {
    if (settled) return;
    reportError(engine, request, code, context);
    if (upgrade) respond(abortUpgrade(engine, code, context));
    else abortRequest(engine, response, code, context);
  };
  engine._applyMiddlewares(asIncoming(request), response, (error) => {
    if (settled) return;
    if (error !== undefined) return refuse(BAD_REQUEST, { name: "MIDDLEWARE_FAILURE" });
    if (frame.code !== NO_ERROR_CODE) return refuse(frame.code, parseContext(frame.context));
    if (machine.asksEachRequest && request.method !== "OPTIONS") {
      respond(proceed(engine, request, response, upgrade));
      return upgrade ? closeWith(engine, request, response) : void response.end();
    }
    engine.verify(asIncoming(request), upgrade, (code, context) => {
      if (settled) return;
      if (code !== undefined) return refuse(code, context);
      // The answer of engine.io's polling transport to a method that is neither GET nor POST.
      response.writeHead(500);
      response.end();
    });
  });
}

/**
 * A header that clients do not see: it tells the node to answer the request itself, with the other headers
 * (`spec/trunk.md`, section 4).
 */
const PROCEED: Header = { name: ":proceed", value: "" };

function proceed(
  engine: HandshakeEngine,
  request: HandshakeRequest,
  response: CapturedResponse,
  upgrade: boolean,
): ClientResponse {
  const headers: Record<string, unknown> = {};
  engine.emit("headers", headers, request);
  // Middlewares such as express-session add their headers when the head is written.
  response.writeHead(upgrade ? 101 : 200);
  const own = headerList(response.getHeaders()).filter((header) => !OF_THE_BODY.has(header.name));
  return { status: 200, headers: [PROCEED, ...own, ...headerList(headers)], body: Buffer.alloc(0) };
}

/** Closes the response to an upgrade with its session: it ends with its stream, and the stream with the session. */
function closeWith(engine: HandshakeEngine, request: HandshakeRequest, response: CapturedResponse): void {
  const conn = engine.clients[request._query.sid ?? ""] as EventEmitter | undefined;
  if (conn !== undefined && response.listenerCount("close") > 0) conn.once("close", () => response.emit("close"));
}

const OF_THE_BODY = new Set(["content-length", "content-type"]);

function isCookie(header: Header): boolean {
  return header.name === "set-cookie";
}

/**
 * Emits `initial_headers` and `headers`. Headers that listeners of `headers` add are for every answer of the session,
 * so they are kept apart.
 */
function headerEvents(
  engine: HandshakeEngine,
  request: HandshakeRequest,
  cookieValue: string | undefined,
): { headers: Header[]; lasting: Header[] } {
  const headers: Record<string, unknown> = {};
  const { cookie } = engine.opts;
  if (cookie && cookieValue !== undefined) headers["Set-Cookie"] = [serializeCookie(cookieValue, cookie)];
  engine.emit("initial_headers", headers, request);
  const initial = { ...headers };
  engine.emit("headers", headers, request);
  const once: Record<string, unknown> = {};
  const lasting: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(headers)) {
    const isNew = !Object.hasOwn(initial, name) || initial[name] !== value;
    if (isNew && name.toLowerCase() !== "set-cookie") lasting[name] = value;
    else once[name] = value;
  }
  return { headers: headerList(once), lasting: headerList(lasting) };
}

function reportError(engine: HandshakeEngine, req: HandshakeRequest, code: number, context: Context | undefined): void {
  engine.emit("connection_error", { req, code, message: engine.errorMessages[code], context });
}

function messageOf(engine: HandshakeEngine, code: number, context: Context | undefined): string {
  const own = context?.message;
  return typeof own === "string" && own !== "" ? own : (engine.errorMessages[code] ?? "Bad request");
}

function abortRequest(
  engine: HandshakeEngine,
  response: CapturedResponse,
  code: number,
  context: Context | undefined,
): void {
  if (!response.headersSent) {
    response.writeHead(code === FORBIDDEN ? 403 : 400, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ code, message: messageOf(engine, code, context) }));
  } else response.end();
}

function abortUpgrade(engine: HandshakeEngine, code: number, context: Context | undefined): ClientResponse {
  return {
    status: 400,
    headers: [{ name: "content-type", value: "text/html" }],
    body: Buffer.from(messageOf(engine, code, context)),
  };
}

function parseContext(json: string): Context {
  try {
    const value: unknown = JSON.parse(json === "" ? "{}" : json);
    return typeof value === "object" && value !== null ? (value as Context) : {};
  } catch {
    return {};
  }
}
