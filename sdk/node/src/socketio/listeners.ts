/** Listeners that move from one emitter to another, or that two emitters share. */
import type { EventEmitter } from "node:events";

type Listener = ((...args: unknown[]) => void) & {
  listener?: (...args: unknown[]) => void;
  fn?: (...args: unknown[]) => void;
};
type Call = (event: string | symbol, ...args: unknown[]) => unknown;

const ABOUT_LISTENERS = [
  "on",
  "addListener",
  "once",
  "prependListener",
  "prependOnceListener",
  "off",
  "removeListener",
  "listeners",
  "rawListeners",
  "listenerCount",
] as const;

/** An emitter that may lack methods of Node.js's: Bun's engine has neither `rawListeners` nor `removeAllListeners`. */
type Emitter = Partial<EventEmitter> & Pick<EventEmitter, "on" | "off" | "listeners">;

/** Moves all listeners of an event to another emitter. */
export function moveEvent(from: Emitter, to: EventEmitter, event: string | symbol): void {
  for (const raw of [...(from.rawListeners?.(event) ?? from.listeners(event))] as Listener[]) {
    const once = raw.listener ?? raw.fn;
    if (once === undefined) to.on(event, raw);
    else to.once(event, once);
    from.off(event, raw);
  }
}

/**
 * Makes both emitters share one list of listeners for these events: the second's. The second emits what the first
 * emits.
 */
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
