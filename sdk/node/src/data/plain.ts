/**
 * Data that leaves this process (kept state, messages to other app servers) as data: a copy of values only, bounded in bytes and depth. What
 * is alive (sockets, servers, streams, timers: whatever has connections of its own) never goes, however deep it hides; so nothing leads from
 * an app's data to its server or its keys. The copy holds nothing but what a serializer can write.
 */
import { types } from "node:util";

/** Deeper data is not data but a structure that refers to itself. */
export const DEPTH_MAX = 100;
/** What is counted for each value beside its own bytes. */
const VALUE_BYTES = 8;

export interface PlainLimits {
  /** Roughly what the copy may take. Reaching it ends the walk at once. */
  readonly bytesMax: number;
  /** Told of each value that cannot go, which is left out then. Without it the first such value is thrown, functions and symbols included. */
  readonly onLeftOut?: (left: NotPlain) => void;
}

/** A value that cannot leave this process. */
export class NotPlain extends Error {
  override readonly name = "NotPlain";
  /** The same for all values that lie at the same place of their lists. */
  readonly kind: string;

  constructor(path: readonly (string | number)[], what: string) {
    const place = pathText(path);
    super(`${place} ${what}`);
    this.kind = `${place.replace(/\[\d+\]/g, "[]")} ${what}`;
  }
}

/**
 * A copy with values only. Typed arrays are taken as they are, class instances by their own enumerable properties, objects that know their
 * JSON by it; circles stay circles. @throws NotPlain
 */
export function plainCopy(value: unknown, limits: PlainLimits, root: string): unknown {
  return new Copier(limits, root).copy(value, 0);
}

/** An object with this in its class is never copied. */
export const INTERNAL = Symbol("trunkline.internal");

class Copier {
  private readonly limits: PlainLimits;
  /** Where we are, for the message: one list, and no text until there is something to say. */
  private readonly path: (string | number)[];
  private readonly seen = new Map<object, unknown>();
  private bytes = 0;

  constructor(limits: PlainLimits, root: string) {
    this.limits = limits;
    this.path = root === "" ? [] : [root];
  }

  copy(value: unknown, depth: number): unknown {
    switch (typeof value) {
      case "string":
        this.count(value.length);
        return value;
      case "function":
      case "symbol":
        // In a message they are left out as a JSON encoder would, without a word.
        if (this.limits.onLeftOut === undefined) throw new NotPlain(this.path, `is a ${typeof value}`);
        return undefined;
      case "object":
        if (value !== null) return this.copyObject(value, depth);
    }
    this.count(0);
    return value;
  }

  private copyObject(value: object, depth: number): unknown {
    const known = this.seen.get(value);
    if (known !== undefined) return known;
    if (ArrayBuffer.isView(value) || types.isArrayBuffer(value)) {
      this.count(value.byteLength);
      return value;
    }
    this.count(0);
    if (depth >= DEPTH_MAX) return this.leaveOut(`is more than ${DEPTH_MAX} levels deep`);
    if (Array.isArray(value)) return this.copyList(value as unknown[], depth);
    if (types.isDate(value)) return new Date(value.getTime());
    if (types.isRegExp(value)) return new RegExp(value.source, value.flags);
    if (types.isBoxedPrimitive(value)) return this.copy(value.valueOf(), depth);
    if (types.isNativeError(value)) return this.copyError(value);
    if (types.isMap(value)) return this.copyMap(value, depth);
    if (types.isSet(value)) return this.copySet(value, depth);
    try {
      const { toJSON } = value as { toJSON?: unknown };
      if (typeof toJSON === "function") return this.copy(toJSON.call(value), depth + 1);
      if (isAlive(value)) return this.leaveOut(`is ${nameOf(value)}, which is alive and not data`);
    } catch (error) {
      return this.giveUp(error);
    }
    return this.copyRecord(value as Record<string, unknown>, depth);
  }

  private copyRecord(value: Record<string, unknown>, depth: number): unknown {
    const plain: Record<string, unknown> = {};
    this.seen.set(value, plain);
    for (const key of Object.keys(value)) {
      this.path.push(key);
      this.count(key.length);
      let inner: unknown;
      try {
        // The only line that may run the app's code.
        inner = value[key];
      } catch (error) {
        inner = this.giveUp(error);
      }
      const isFunction = typeof inner === "function";
      const copied = this.copy(inner, depth + 1);
      // An assignment would set the copy's prototype.
      if (key === "__proto__") Object.defineProperty(plain, key, { value: copied, writable: true, enumerable: true, configurable: true });
      else if (!isFunction) plain[key] = copied;
      this.path.pop();
    }
    return plain;
  }

  private copyList(value: unknown[], depth: number): unknown {
    const list: unknown[] = [];
    this.seen.set(value, list);
    for (let index = 0; index < value.length; index++) {
      this.path.push(index);
      list.push(this.copy(value[index], depth + 1));
      this.path.pop();
    }
    return list;
  }

  private copyMap(value: Map<unknown, unknown>, depth: number): unknown {
    const map = new Map<unknown, unknown>();
    this.seen.set(value, map);
    for (const [key, inner] of value) {
      this.path.push(`get(${typeof key === "string" ? JSON.stringify(key) : typeof key})`);
      map.set(this.copy(key, depth + 1), this.copy(inner, depth + 1));
      this.path.pop();
    }
    return map;
  }

  private copySet(value: Set<unknown>, depth: number): unknown {
    const set = new Set<unknown>();
    this.seen.set(value, set);
    let index = 0;
    for (const inner of value) {
      this.path.push(index++);
      set.add(this.copy(inner, depth + 1));
      this.path.pop();
    }
    return set;
  }

  /** By its words: what else hangs on an error (`cause`, a response, a socket) is not part of it. */
  private copyError({ name, message, stack }: Error): Error {
    const copy = new Error(String(message));
    copy.name = String(name);
    if (typeof stack === "string") copy.stack = stack;
    this.count(copy.message.length + (copy.stack?.length ?? 0));
    return copy;
  }

  private count(bytes: number): void {
    this.bytes += bytes + VALUE_BYTES;
    if (this.bytes > this.limits.bytesMax) throw new NotPlain(this.path.slice(0, 1), `is more than ${this.limits.bytesMax} bytes`);
  }

  private giveUp(error: unknown): undefined {
    if (error instanceof NotPlain) throw error;
    return this.leaveOut("cannot be read");
  }

  private leaveOut(why: string): undefined {
    const left = new NotPlain(this.path, why);
    if (this.limits.onLeftOut === undefined) throw left;
    this.limits.onLeftOut(left);
    return undefined;
  }
}

/** Whether it has a life beyond its values: emitters (sockets, servers, streams), targets of events, timers, promises, weak collections. */
function isAlive(value: object): boolean {
  const face = value as Record<string | symbol, unknown>;
  const can = (name: string): boolean => typeof face[name] === "function";
  return (
    (can("on") && can("emit")) ||
    (can("addEventListener") && can("dispatchEvent")) ||
    (can("ref") && can("unref")) ||
    can("then") ||
    face[INTERNAL] === true ||
    types.isPromise(value) ||
    types.isWeakMap(value) ||
    types.isWeakSet(value) ||
    types.isSharedArrayBuffer(value) ||
    types.isGeneratorObject(value) ||
    types.isExternal(value) ||
    value instanceof WeakRef
  );
}

function nameOf(value: object): string {
  const { constructor } = value as { constructor?: unknown };
  const name = typeof constructor === "function" ? constructor.name : "";
  return name === "" || name === "Object" ? "an object" : `a ${name}`;
}

function pathText(path: readonly (string | number)[]): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else text += text === "" ? step : `.${step}`;
  }
  return text === "" ? "it" : text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
