/**
 * Data that leaves this process (kept state, messages to other app servers) as data: a copy of values only, bounded in
 * bytes and depth. What is alive (sockets, servers, streams, timers: whatever has connections of its own) never goes,
 * however deep it hides; so nothing leads from an app's data to its server or its keys. The copy holds nothing but what
 * MessagePack can write: the rest is tagged (`tags.ts`).
 */
import { types } from "node:util";
import { isWellFormed } from "./keys.js";
import { TableWriter } from "./tables.js";
import { bigintText, SHAPED_HEAD, Tag, taggedBytes } from "./tags.js";

/** Deeper data is not data but a structure that refers to itself. */
export const DEPTH_MAX = 100;
/** A list of so many items gets its room at once. */
const ROOM_ITEMS_MAX = 1_024;
/** What is counted for each value beside its own bytes. */
export const VALUE_BYTES = 8;

/**
 * Keys that a library for MessagePack may take for an object's own methods, `constructor` and `toJSON` above all: clients
 * send what they like. `__proto__` would set a prototype.
 */
const NAMES_OF_OBJECTS: ReadonlySet<string> = new Set([...Object.getOwnPropertyNames(Object.prototype), "toJSON"]);

/** Which keys may be written as they are: what was found out about the last ones, for records that are made alike. */
const PLAIN_KEYS = {
  known: new Set<string>(),
  has(key: string): boolean {
    if (this.known.has(key)) return true;
    if (NAMES_OF_OBJECTS.has(key) || !isWellFormed(key)) return false;
    if (this.known.size >= KEYS_MAX) this.known.clear();
    this.known.add(key);
    return true;
  },
};
const KEYS_MAX = 1_000;

export interface PlainLimits {
  /** Roughly what the copy may take. Reaching it ends the walk at once. */
  readonly bytesMax: number;
  /**
   * Told of each value that cannot go, which is left out then. Without it the first such value is thrown, functions and
   * symbols included.
   */
  readonly onLeftOut?: (left: NotPlain) => void;
  /** Whether what many values share is written once: for who can read it. */
  readonly sharesParts?: boolean;
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

/** What {@link toWire} returns. */
export interface Wire {
  readonly wire: unknown;
  /** Whether anything in it is tagged. */
  readonly isTagged: boolean;
  /** What its values share, if that was asked for. */
  readonly tables: TableWriter | undefined;
}

/**
 * A copy with values only, ready to be packed. Typed arrays are taken as they are, class instances by their own
 * enumerable properties, objects that know their JSON by it; circles stay circles. @throws NotPlain
 */
export function toWire(value: unknown, limits: PlainLimits, root: string): Wire {
  const copier = new Copier(limits, root);
  const wire = copier.copy(value, 0);
  return { wire, isTagged: copier.isTagged, tables: copier.tables };
}

/** An object with this in its class is never copied. */
export const INTERNAL = Symbol("trunkline.internal");

class Copier {
  private readonly limits: PlainLimits;
  /** Where we are, for the message: one list, and no text until there is something to say. */
  private readonly path: (string | number)[];
  /** Lists, records, maps and sets, by the order in which they begin. */
  private readonly seen = new Map<object, number>();
  private bytes = 0;
  isTagged = false;
  readonly tables: TableWriter | undefined;

  constructor(limits: PlainLimits, root: string) {
    this.limits = limits;
    this.tables = limits.sharesParts ? new TableWriter() : undefined;
    this.path = root === "" ? [] : [root];
  }

  copy(value: unknown, depth: number): unknown {
    switch (typeof value) {
      case "string":
        this.count(value.length);
        return this.text(value);
      case "number":
        this.count(0);
        if (Object.is(value, -0)) return this.tag(Tag.negativeZero);
        // Below zero are the numbers of texts.
        return value < 0 && this.tables !== undefined ? this.tag(Tag.number, value) : value;
      case "bigint": {
        const text = bigintText(value);
        this.count(text.length);
        return this.tag(Tag.bigint, text);
      }
      case "undefined":
        this.count(0);
        return this.tag(Tag.undefined);
      case "function":
      case "symbol":
        // In a message they are left out as a JSON encoder would, without a word.
        if (this.limits.onLeftOut === undefined) throw new NotPlain(this.path, `is a ${typeof value}`);
        return this.tag(Tag.undefined);
      case "object":
        if (value !== null) return this.copyObject(value, depth);
    }
    this.count(0);
    return value;
  }

  private copyObject(value: object, depth: number): unknown {
    const known = this.seen.get(value);
    if (known !== undefined) {
      this.count(0);
      return this.tag(Tag.reference, known);
    }
    const isList = Array.isArray(value);
    const isBare = !isList && isBareRecord(value);
    if (!isList && !isBare && (ArrayBuffer.isView(value) || types.isArrayBuffer(value))) return this.copyBytes(value);
    this.count(0);
    if (depth >= DEPTH_MAX) return this.leaveOut(`is more than ${DEPTH_MAX} levels deep`);
    if (isList) return this.copyList(value as unknown[], depth);
    if (!isBare) {
      if (types.isDate(value)) return this.tag(Tag.date, value.getTime());
      if (types.isRegExp(value)) return this.tag(Tag.regexp, value.source, value.flags);
      if (types.isBoxedPrimitive(value)) return this.copy(value.valueOf(), depth);
      if (types.isNativeError(value)) return this.copyError(value);
      if (types.isMap(value)) return this.copyMap(value, depth);
      if (types.isSet(value)) return this.copySet(value, depth);
    }
    const [begun, deep] = [this.seen.size, this.path.length];
    try {
      const { toJSON } = value as { toJSON?: unknown };
      if (typeof toJSON === "function") return this.copy(toJSON.call(value), depth + 1);
      if (isAlive(value) || (!isBare && isAliveInside(value)))
        return this.leaveOut(`is ${nameOf(value)}, which is alive and not data`);
    } catch (error) {
      const left = this.giveUp(error);
      // What began in the part that is left out is not there to be referred to.
      for (const [container, number] of this.seen) if (number >= begun) this.seen.delete(container);
      this.path.length = deep;
      return left;
    }
    return this.copyRecord(value as Record<string, unknown>, depth);
  }

  private copyBytes(value: ArrayBuffer | ArrayBufferView): unknown {
    this.count(value.byteLength);
    try {
      // Also finds out whether they were taken away from their owner.
      const tagged = taggedBytes(value);
      if (Buffer.isBuffer(value)) return value;
      if (tagged === undefined) return this.leaveOut("is of a type that other processes may not have");
      this.isTagged = true;
      return tagged;
    } catch (error) {
      return this.giveUp(error);
    }
  }

  private copyRecord(value: Record<string, unknown>, depth: number): unknown {
    const all = Object.keys(value);
    /** Those that are copied; a list of their own from the first one on that is left out. */
    let keys: readonly string[] = all;
    /** The values, behind what a record with a shape begins with. */
    const list = new Array<unknown>(SHAPED_HEAD + all.length);
    list[0] = null;
    list[1] = Tag.shaped;
    let end = SHAPED_HEAD;
    let isPlain = true;
    this.begin(value);
    for (const key of all) {
      this.path.push(key);
      this.count(key.length);
      let inner: unknown;
      let copied: unknown;
      try {
        // The only line that may run the app's code.
        inner = value[key];
      } catch (error) {
        copied = this.giveUp(error);
      }
      if (typeof inner !== "function" || this.limits.onLeftOut === undefined) {
        copied ??= this.copy(inner, depth + 1);
        isPlain &&= PLAIN_KEYS.has(key);
        if (keys !== all) (keys as string[]).push(key);
        list[end++] = copied;
      } else if (keys === all) keys = all.slice(0, end - SHAPED_HEAD);
      this.path.pop();
    }
    list.length = end;
    return isPlain ? this.record(keys, list) : this.pairs(keys, list);
  }

  private record(keys: readonly string[], list: unknown[]): unknown {
    const shape = this.tables?.shape(keys);
    if (shape !== undefined) {
      list[SHAPED_HEAD - 1] = shape;
      return list;
    }
    const record: Record<string, unknown> = {};
    for (let index = 0; index < keys.length; index++) record[keys[index] as string] = list[SHAPED_HEAD + index];
    return record;
  }

  /** In place of a record with keys that a map of MessagePack cannot have, or that mean something to JavaScript. */
  private pairs(keys: readonly string[], list: unknown[]): unknown {
    const pairs = this.tagged(Tag.record, []);
    keys.forEach((key, index) => pairs.push(this.text(key), list[SHAPED_HEAD + index]));
    return pairs;
  }

  private text(text: string): unknown {
    if (!isWellFormed(text)) return this.tag(Tag.text, JSON.stringify(text));
    return this.tables === undefined ? text : this.tables.text(text);
  }

  private copyList(value: unknown[], depth: number): unknown {
    // A long one may be all holes, and end at our bounds.
    const list: unknown[] = value.length <= ROOM_ITEMS_MAX ? new Array<unknown>(value.length) : [];
    this.begin(value);
    for (let index = 0; index < value.length; index++) {
      this.path.push(index);
      list[index] = this.copy(value[index], depth + 1);
      this.path.pop();
    }
    return list[0] === null ? this.tagged(Tag.list, list) : list;
  }

  private copyMap(value: Map<unknown, unknown>, depth: number): unknown {
    const pairs = this.tagged(Tag.map, []);
    this.begin(value);
    for (const [key, inner] of value) {
      this.path.push(`get(${typeof key === "string" ? JSON.stringify(key) : typeof key})`);
      pairs.push(this.copy(key, depth + 1), this.copy(inner, depth + 1));
      this.path.pop();
    }
    return pairs;
  }

  private copySet(value: Set<unknown>, depth: number): unknown {
    const items = this.tagged(Tag.set, []);
    this.begin(value);
    let index = 0;
    for (const inner of value) {
      this.path.push(index++);
      items.push(this.copy(inner, depth + 1));
      this.path.pop();
    }
    return items;
  }

  /** By its words: what else hangs on an error (`cause`, a response, a socket) is not part of it. */
  private copyError({ name, message, stack }: Error): unknown {
    const text = (value: unknown): unknown => this.copy(String(value), 0);
    return this.tag(Tag.error, text(name), text(message), typeof stack === "string" ? text(stack) : null);
  }

  /** A container begins: what refers to it later says how many began before it. */
  private begin(container: object): void {
    this.seen.set(container, this.seen.size);
  }

  private tag(tag: number, ...rest: unknown[]): unknown[] {
    return this.tagged(tag, rest);
  }

  /** As {@link Copier.tag}, for any number of values. */
  private tagged(tag: number, rest: unknown[]): unknown[] {
    this.isTagged = true;
    return [null, tag].concat(rest as never[]);
  }

  private count(bytes: number): void {
    this.bytes += bytes + VALUE_BYTES;
    if (this.bytes > this.limits.bytesMax)
      throw new NotPlain(this.path.slice(0, 1), `is more than ${this.limits.bytesMax} bytes`);
  }

  private giveUp(error: unknown): unknown {
    if (error instanceof NotPlain) throw error;
    return this.leaveOut("cannot be read");
  }

  private leaveOut(why: string): unknown {
    const left = new NotPlain(this.path, why);
    if (this.limits.onLeftOut === undefined) throw left;
    this.limits.onLeftOut(left);
    return this.tag(Tag.undefined);
  }
}

/** Most objects are no more than this, and need not be asked for what only others can be. */
function isBareRecord(value: object): boolean {
  const proto: unknown = Object.getPrototypeOf(value);
  return proto === Object.prototype || proto === null;
}

/**
 * Whether it can do what only a thing with a life beyond its values can: emitters (sockets, servers, streams), targets
 * of events, timers, promises.
 */
function isAlive(value: object): boolean {
  const face = value as Record<string | symbol, unknown>;
  return (
    (typeof face.on === "function" && typeof face.emit === "function") ||
    (typeof face.addEventListener === "function" && typeof face.dispatchEvent === "function") ||
    (typeof face.ref === "function" && typeof face.unref === "function") ||
    typeof face.then === "function" ||
    face[INTERNAL] === true
  );
}

/**
 * The same by what it is inside: promises whatever they were made of, weak collections, what belongs to native code.
 */
function isAliveInside(value: object): boolean {
  return (
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
