/**
 * The adoption of the engine that serves the app's own HTTP server: options, middlewares and listeners that the app
 * sets once then apply to both engines.
 */
import type { IncomingMessage } from "node:http";
import { shareListeners } from "../socketio/listeners.js";
import {
  isForeign,
  type DirectEngine,
  type EngineBase,
  type EngineBaseConstructor,
  type EngineOptions,
} from "../socketio/types.js";
import { closeDoor } from "./door.js";
import { closeForeignDoor, optionsOf, unhonouredBy } from "./foreign_engine.js";
import { makesOwnIds, overriddenMethods } from "./own_engine.js";

const FORWARDED = ["connection", "connection_error", "initial_headers", "headers", "flush", "drain"];

/** The parts of the engine's owner that an adoption needs. */
export interface Adopter {
  /** The address that clients must use when the app's own HTTP server accepts none. */
  readonly clientsBelongAt: string | undefined;
  /** Called when the app uses something that clients behind Trunkline bypass. */
  onUnhonoured(sentence: string): void;
}

/**
 * Gives both engines the same options, middlewares and listeners, and makes the other one refuse clients if configured.
 */
export function adopt(Base: EngineBaseConstructor, engine: EngineBase, direct: DirectEngine, adopter: Adopter): void {
  const { clientsBelongAt } = adopter;
  if (isForeign(direct)) {
    adoptForeign(Base, engine, direct, adopter);
    shareListeners(direct, engine, FORWARDED);
    if (clientsBelongAt !== undefined) closeForeignDoor(direct, clientsBelongAt);
  } else {
    adoptOwn(engine, direct, adopter);
    shareListeners(direct, engine, FORWARDED);
    if (clientsBelongAt !== undefined) closeDoor(direct, clientsBelongAt);
  }
}

/** Adopts one of engine.io's own engines. */
function adoptOwn(engine: EngineBase, direct: DirectEngine, adopter: Adopter): void {
  // Both constructors made a middleware from the `cors` option; one of them is enough.
  const added = engine.middlewares.slice(engine.opts.cors ? 1 : 0);
  direct.opts = Object.assign(engine.opts, direct.opts);
  direct.middlewares = engine.middlewares = [...(direct.middlewares ?? []), ...added];
  if (makesOwnIds(direct)) engine.generateId = direct.generateId.bind(direct);
  Object.defineProperty(direct, "generateId", {
    get: () => (request: IncomingMessage) => engine.generateId(request),
    set: (generateId: EngineBase["generateId"]) => (engine.generateId = generateId),
    configurable: true,
    enumerable: true,
  });
  const overridden = overriddenMethods(direct);
  if (overridden.length > 0) {
    adopter.onUnhonoured(
      `${overridden.join(", ")} of the app's own engine: the node does this itself; it holds for clients that come straight to this server`,
    );
  }
}

/** Adopts another kind of engine, as far as its options have an equivalent in engine.io. */
function adoptForeign(Base: EngineBaseConstructor, engine: EngineBase, direct: DirectEngine, adopter: Adopter): void {
  const options = optionsOf(direct);
  Object.assign(engine.opts, options);
  if (options.cors) engine.middlewares.push(...corsMiddlewares(Base, options.cors));
  const unhonoured = unhonouredBy(direct);
  if (unhonoured !== undefined) adopter.onUnhonoured(unhonoured);
}

/** The middlewares that engine.io's own constructor makes from the `cors` option. */
function corsMiddlewares(Base: EngineBaseConstructor, cors: EngineOptions["cors"]): EngineBase["middlewares"] {
  class Bare extends Base {
    init(): void {
      // There is nothing to listen on.
    }
  }
  return new Bare({ cors }).middlewares;
}
