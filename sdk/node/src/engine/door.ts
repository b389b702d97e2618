/**
 * Closes the direct door (`direct: false`): the app's own HTTP server answers Socket.IO handshakes with the address to
 * use instead.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { DirectEngine } from "../socketio/types.js";

const STATUS = 403;
/** Engine.IO's code for "Forbidden". */
const FORBIDDEN = 4;

/** The answer that names the address where clients are served. */
export function elsewhere(address: string): { status: number; body: string } {
  return {
    status: STATUS,
    body: JSON.stringify({
      code: FORBIDDEN,
      message: `Socket.IO clients are served by Trunkline at ${address}, not by this server`,
    }),
  };
}

/**
 * Refuses new clients; connected clients stay. Middlewares run, so that a browser may read the answer where CORS allows
 * it.
 */
export function closeDoor(engine: DirectEngine, address: string): void {
  const { body } = elsewhere(address);
  const handleRequest = engine.handleRequest?.bind(engine);
  const handleUpgrade = engine.handleUpgrade?.bind(engine);
  engine.handleRequest = (request: IncomingMessage, response: ServerResponse) => {
    if (isKnown(engine, request)) return void handleRequest?.(request, response);
    engine._applyMiddlewares(request, response, () => {
      if (response.headersSent) return;
      response.writeHead(STATUS, { "Content-Type": "application/json" });
      response.end(body);
    });
  };
  engine.handleUpgrade = (request: IncomingMessage, stream: unknown, head: Buffer) => {
    if (isKnown(engine, request)) return handleUpgrade?.(request, stream, head);
    (stream as Duplex).on("error", () => undefined);
    (stream as Duplex).end(
      `HTTP/1.1 ${STATUS} Forbidden\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  };
}

function isKnown(engine: DirectEngine, request: IncomingMessage): boolean {
  const query = (request.url ?? "").split("?", 2)[1] ?? "";
  const sid = new URLSearchParams(query).get("sid");
  return sid !== null && Object.hasOwn(engine.clients, sid);
}
