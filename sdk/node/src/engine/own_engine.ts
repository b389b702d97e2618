/**
 * An engine of the app's own making, bound by `io.bind`: what the app does to it, or has put into it, holds for clients
 * behind Trunkline, too.
 */
import type { DirectEngine } from "../socketio/types.js";

/** Whether the app has said how ids are made: on the object, or in a class below engine.io's. */
export function makesOwnIds(engine: DirectEngine): boolean {
  const base = baseOf(engine);
  return base === undefined ? Object.hasOwn(engine, "generateId") : engine.generateId !== base.generateId;
}

/** What a class of the app's own may have put in place of engine.io's. */
const STEPS = [
  "verify",
  "handshake",
  "upgrades",
  "createTransport",
  "onWebSocket",
  "handleRequest",
  "handleUpgrade",
] as const;

/** Steps of a handshake that the app has replaced, by name. */
export function overriddenMethods(engine: DirectEngine): string[] {
  const names = new Set<string>();
  if (baseOf(engine) === undefined) return [];
  for (
    let proto: object = engine;
    proto !== Object.prototype && !isEngineIo(proto);
    proto = Object.getPrototypeOf(proto) as object
  ) {
    for (const name of STEPS) if (Object.hasOwn(proto, name)) names.add(name);
  }
  return [...names];
}

/** engine.io's `BaseServer.prototype`, of whichever copy of it the app has. */
function baseOf(engine: DirectEngine): DirectEngine | undefined {
  let proto: object | null = engine;
  while (proto !== null && !Object.hasOwn(proto, "_applyMiddlewares"))
    proto = Object.getPrototypeOf(proto) as object | null;
  return (proto as DirectEngine | null) ?? undefined;
}

/** Whether this prototype is one of engine.io's servers: `Server`, `uServer`, or their base. */
function isEngineIo(proto: object): boolean {
  return (
    Object.hasOwn(proto, "_applyMiddlewares") ||
    (Object.hasOwn(proto, "createTransport") && Object.hasOwn(proto, "cleanup"))
  );
}
