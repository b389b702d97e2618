/**
 * Watches the options of `io.engine` while the app runs: Engine.IO reads them when it needs them, so apps change them,
 * and the nodes must know.
 */
import { NODE_OPTIONS } from "../socketio/settings.js";
import type { DirectEngine, EngineBase, EngineOptions } from "../socketio/types.js";

/**
 * Calls `onChanged` once after each turn of the event loop in which the app has changed the engine's options, or one of
 * them, or what is inside one that it has read in that turn. A change inside one that it read earlier is not noticed.
 * @param direct the engine of direct clients, if it exists by then: it has the same options
 */
export function watchOptions(engine: EngineBase, direct: () => DirectEngine | undefined, onChanged: () => void): void {
  let present = engine.opts;
  let isComparing = false;
  const changed = (): void => {
    if (isComparing) return;
    isComparing = true;
    queueMicrotask(() => {
      isComparing = false;
      onChanged();
    });
  };
  watchFields(present, changed);
  Object.defineProperty(engine, "opts", {
    get: () => present,
    set: (opts: EngineOptions) => {
      present = opts;
      const other = direct();
      if (other !== undefined) other.opts = opts;
      watchFields(opts, changed);
      changed();
    },
    configurable: true,
    enumerable: true,
  });
}

function watchFields(opts: EngineOptions, changed: () => void): void {
  for (const name of NODE_OPTIONS) watchField(opts as Record<string, unknown>, name, changed);
}

/** Watches assignments to a field, and its reads: a list or an object is read before it is changed in place. */
function watchField(fields: Record<string, unknown>, name: string, changed: () => void): void {
  let value = fields[name];
  let content = contentOf(value);
  let isLooking = false;
  const look = (): void => {
    isLooking = false;
    const now = contentOf(value);
    if (now === content) return;
    content = now;
    changed();
  };
  Object.defineProperty(fields, name, {
    get: () => {
      if (typeof value === "object" && !isLooking) {
        isLooking = true;
        queueMicrotask(look);
      }
      return value;
    },
    set: (next: unknown) => {
      value = next;
      content = contentOf(next);
      changed();
    },
    configurable: true,
    enumerable: true,
  });
}

/** The content of a list or an object, for comparison. Content that cannot be encoded counts as unchanged. */
function contentOf(value: unknown): string | undefined {
  if (typeof value !== "object") return undefined;
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}
