/**
 * Watches the options of `io.engine` while the app runs: Engine.IO reads them when it needs them, so apps change them,
 * and the nodes must know.
 */
import { NODE_OPTIONS } from "../socketio/settings.js";
import type { DirectEngine, EngineBase, EngineOptions } from "../socketio/types.js";

/**
 * Calls `onChanged` once after each turn of the event loop in which the app has changed the engine's options, or one of
 * them.
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
  const fields = opts as Record<string, unknown>;
  for (const name of NODE_OPTIONS) {
    let value = fields[name];
    Object.defineProperty(opts, name, {
      get: () => value,
      set: (next: unknown) => {
        value = next;
        changed();
      },
      configurable: true,
      enumerable: true,
    });
  }
}
