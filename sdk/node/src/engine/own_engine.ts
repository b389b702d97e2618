/**
 * An engine that the app made itself and bound by `io.bind`: changes that the app made to it apply to clients behind
 * Trunkline, too.
 */
import type { DirectEngine } from "../socketio/types.js";

/** Whether the app defines how ids are made: on the object, or in a class that extends engine.io's. */
export function makesOwnIds(engine: DirectEngine): boolean {
  const base = baseOf(engine);
  return base === undefined ? Object.hasOwn(engine, "generateId") : engine.generateId !== base.generateId;
}

/** Methods that a class of the app may have overridden. */
const STEPS = [
  "verify",
  "handshake",
  "upgrades",
  "createTransport",
  "onWebSocket",
  "handleRequest",
  "handleUpgrade",
] as const;

/** The names of the handshake methods that the app has overridden. */
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

/** engine.io's `BaseServer.prototype`, from the app's copy of engine.io. */
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
