/** An engine of the app's own making, bound by `io.bind`: what the app does to it, or has put into it, holds for clients behind Trunkline, too. */
import type { EventEmitter } from "node:events";
import type { DirectEngine } from "./internals.js";

type Listener = ((...args: unknown[]) => void) & { listener?: (...args: unknown[]) => void; fn?: (...args: unknown[]) => void };
type Call = (event: string | symbol, ...args: unknown[]) => unknown;

const ABOUT_LISTENERS = [
  "on", "addListener", "once", "prependListener", "prependOnceListener", "off", "removeListener", "listeners", "rawListeners", "listenerCount",
] as const;

/** An emitter that may have less than Node.js's: Bun's engine knows neither `rawListeners` nor `removeAllListeners`. */
type Emitter = Partial<EventEmitter> & Pick<EventEmitter, "on" | "off" | "listeners">;

/** Takes all listeners of an event to another emitter. */
export function moveEvent(from: Emitter, to: EventEmitter, event: string | symbol): void {
  for (const raw of [...(from.rawListeners?.(event) ?? from.listeners(event))] as Listener[]) {
    const once = raw.listener ?? raw.fn;
    if (once === undefined) to.on(event, raw);
    else to.once(event, once);
    from.off(event, raw);
  }
}

/** From now on both have one list of listeners for these events: the second's. What the first emits, the second emits. */
export function shareListeners(from: Emitter, to: EventEmitter, events: readonly string[]): void {
  for (const event of events) {
    moveEvent(from, to, event);
    from.on(event, (...args: unknown[]) => to.emit(event, ...args));
  }
  for (const name of ABOUT_LISTENERS) {
    if (from[name] === undefined) continue;
    const own = (from[name] as Call).bind(from);
    const theirs = (to[name] as Call).bind(to);
    const shared = (event: string | symbol, ...args: unknown[]): unknown => {
      const result = events.includes(String(event)) ? theirs(event, ...args) : own(event, ...args);
      return result === to ? from : result;
    };
    Object.defineProperty(from, name, { value: shared, writable: true, configurable: true });
  }
}

/** Whether the app has said how ids are made: on the object, or in a class below engine.io's. */
export function makesOwnIds(engine: DirectEngine): boolean {
  const base = baseOf(engine);
  return base === undefined ? Object.hasOwn(engine, "generateId") : engine.generateId !== base.generateId;
}

/** What a class of the app's own may have put in place of engine.io's. */
const STEPS = ["verify", "handshake", "upgrades", "createTransport", "onWebSocket", "handleRequest", "handleUpgrade"] as const;

/** Steps of a handshake that the app has replaced, by name. */
export function overriddenMethods(engine: DirectEngine): string[] {
  const names = new Set<string>();
  if (baseOf(engine) === undefined) return [];
  for (let proto: object = engine; proto !== Object.prototype && !isEngineIo(proto); proto = Object.getPrototypeOf(proto) as object) {
    for (const name of STEPS) if (Object.hasOwn(proto, name)) names.add(name);
  }
  return [...names];
}

/** engine.io's `BaseServer.prototype`, of whichever copy of it the app has. */
function baseOf(engine: DirectEngine): DirectEngine | undefined {
  let proto: object | null = engine;
  while (proto !== null && !Object.hasOwn(proto, "_applyMiddlewares")) proto = Object.getPrototypeOf(proto) as object | null;
  return (proto as DirectEngine | null) ?? undefined;
}

/** Whether this prototype is one of engine.io's servers: `Server`, `uServer`, or their base. */
function isEngineIo(proto: object): boolean {
  return Object.hasOwn(proto, "_applyMiddlewares") || (Object.hasOwn(proto, "createTransport") && Object.hasOwn(proto, "cleanup"));
}
