/**
 * An engine that is not engine.io's, bound by `io.bind`, such as `@socket.io/bun-engine`. It serves direct clients by
 * itself. Options in its own form apply to clients behind Trunkline as far as engine.io has an equivalent.
 */
import type { IncomingMessage } from "node:http";
import { elsewhere } from "./door.js";
import type { DirectEngine, EngineOptions } from "../socketio/types.js";

/** Options that have the same form in both. */
const SAME = ["pingInterval", "pingTimeout", "upgradeTimeout", "maxHttpBufferSize"] as const;
/** Options that the node would have to apply and cannot. */
const OWN = ["editHandshakeHeaders", "editResponseHeaders"] as const;

type AllowRequest = (request: Request, server: undefined) => unknown;
type Answer = (request: Request, server: unknown) => unknown;

/** Its options, as far as engine.io knows them. */
export function optionsOf(engine: DirectEngine): EngineOptions {
  const said = engine.opts as Record<string, unknown>;
  const options: Record<string, unknown> = {};
  for (const name of [...SAME, "cors"]) if (said[name] !== undefined) options[name] = said[name];
  const { allowRequest } = said as { allowRequest?: AllowRequest };
  if (allowRequest !== undefined) {
    options["allowRequest"] = (
      request: IncomingMessage,
      done: (message: unknown, isAllowed: boolean) => void,
    ): void => {
      // Without the server that it expects: an `allowRequest` that needs more of it than the request refuses every
      // client.
      new Promise((resolve) => resolve(allowRequest(webRequest(request), undefined))).then(
        () => done(null, true),
        (reason: unknown) => done(reason instanceof Error ? reason.message : reason, false),
      );
    };
  }
  return options;
}

/** The number of direct clients of an engine of any kind. */
export function countOf(engine: DirectEngine): number {
  const clients: unknown = engine.clients;
  return clients instanceof Map ? clients.size : engine.clientsCount;
}

/** A sentence about options that do not apply to clients behind Trunkline. */
export function unhonouredBy(engine: DirectEngine): string | undefined {
  const names = OWN.filter((name) => (engine.opts as Record<string, unknown>)[name] !== undefined);
  return names.length === 0
    ? undefined
    : `${names.join(", ")} of the app's own engine: it holds for clients that come straight to this server`;
}

/** Like `closeDoor`, for an engine that answers web requests. */
export function closeForeignDoor(engine: DirectEngine, address: string): void {
  const face = engine as unknown as { handleRequest?: Answer; clients: unknown };
  const { status, body } = elsewhere(address);
  const handle = face.handleRequest?.bind(engine);
  face.handleRequest = (request, server) => {
    const sid = new URL(request.url).searchParams.get("sid");
    const isKnown = sid !== null && face.clients instanceof Map && face.clients.has(sid);
    return isKnown
      ? handle?.(request, server)
      : new Response(body, { status, headers: { "Content-Type": "application/json" } });
  };
}

function webRequest(request: IncomingMessage): Request {
  const headers = new Headers();
  for (let at = 0; at + 1 < request.rawHeaders.length; at += 2)
    headers.append(request.rawHeaders[at] ?? "", request.rawHeaders[at + 1] ?? "");
  return new Request(new URL(request.url ?? "/", `http://${request.headers.host ?? "localhost"}`), { headers });
}
