/** Emitters for sessions, without the memory that the constructor of `EventEmitter` uses for each. */
import { EventEmitter } from "node:events";

/** An `EventEmitter` whose table of listeners is created by the first listener, which can be added at any time. */
export const Emitter = function () {} as unknown as new () => EventEmitter;
Emitter.prototype = EventEmitter.prototype;

/**
 * A table of listeners. Node.js's own has no prototype, so V8 makes it a hash table of 184 bytes. Objects of a class
 * with an empty prototype behave alike for every name and share the description of their keys.
 */
const Table = function () {} as unknown as new () => object;
Table.prototype = Object.freeze(Object.create(null));

interface Inner {
  _events: Record<string, unknown>;
  _eventsCount: number;
}

/** Gives an emitter its table, for emitters that will certainly have listeners. */
export function ownTable(emitter: EventEmitter): void {
  const inner = emitter as unknown as Inner;
  inner._events = new Table() as Record<string, unknown>;
  inner._eventsCount = 0;
}

/** Like `emit` with one value, but faster for a single listener, which is the usual case. */
export function emitPlainly(emitter: EventEmitter, event: string, value: unknown): void {
  const listener = (emitter as unknown as Inner)._events[event];
  // With `captureRejections`, Node.js must see the value that a listener returns.
  if (typeof listener === "function" && !EventEmitter.captureRejections) listener.call(emitter, value);
  else emitter.emit(event, value);
}
