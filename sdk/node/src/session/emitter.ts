/** An `EventEmitter` for each session, without what its constructor would make for each. */
import { EventEmitter } from "node:events";

/** Listeners can be added at any time: the first of them makes the table. */
export const Emitter = function () {} as unknown as new () => EventEmitter;
Emitter.prototype = EventEmitter.prototype;

/**
 * The table of listeners. The one that Node.js makes has no prototype, so V8 makes a hash table of it, of 184 bytes.
 * Objects of one class whose prototype is empty have the same answers for every name, and share what their keys are.
 */
const Table = function () {} as unknown as new () => object;
Table.prototype = Object.freeze(Object.create(null));

interface Inner {
  _events: Record<string, unknown>;
  _eventsCount: number;
}

/** Gives an emitter its table, for one that is sure to have listeners. */
export function ownTable(emitter: EventEmitter): void {
  const inner = emitter as unknown as Inner;
  inner._events = new Table() as Record<string, unknown>;
  inner._eventsCount = 0;
}

/** `emit` of one value, quicker where one listener is all that there is, as nearly always. */
export function emitPlainly(emitter: EventEmitter, event: string, value: unknown): void {
  const listener = (emitter as unknown as Inner)._events[event];
  // With `captureRejections`, Node.js looks at what a listener returns.
  if (typeof listener === "function" && !EventEmitter.captureRejections) listener.call(emitter, value);
  else emitter.emit(event, value);
}
