/**
 * Copies data that leaves this process (kept state, messages to other app servers). The copy has values only, and its
 * bytes and depth are limited. Live objects (sockets, servers, streams, timers: objects with connections of their own)
 * are never copied, at any depth, so that no path leads from an app's data to its server or its keys. Values that
 * MessagePack cannot represent are tagged (`tags.ts`).
 */
import { types } from "node:util";
import { isAlive, isAliveInside, isBareRecord, nameOf } from "./alive.js";
import { isWellFormed } from "./keys.js";
import { TableWriter } from "./tables.js";
import { bigintText, SHAPED_HEAD, Tag, taggedBytes } from "./tags.js";

/** The most levels of nested values. Deeper data is treated as a structure without end. */
export const DEPTH_MAX = 100;
/** Copies of lists up to this length are allocated at once; longer copies grow item by item. */
const ROOM_ITEMS_MAX = 1_024;
/** The reason why a {@link Part} is left out. Without figures, so that parts of one kind are reported once. */
const TOO_MUCH = "has more values or bytes than fit into a message beside the rest";
const TOO_DEEP = `is more than ${DEPTH_MAX} levels deep`;
/** The bytes that are counted for each value in addition to its own. */
export const VALUE_BYTES = 8;
/**
 * The number of values that is counted for a call of the app's `toJSON`, which may make a new structure each time, and
 * for a value that is left out: both take longer than copying a value.
 */
const COSTLY_VALUES = 16;
/** The most reports of values that are left out; many of a kind in a row count once. Later ones are not reported. */
const TOLD_MAX = 20;
/** The most values of one {@link Part}. A part with more has no end, or takes too long. */
const PART_VALUES_MAX = 1 << 20;
/** The lowest limit of values in a part, after earlier parts were left out. */
const PART_VALUES_MIN = 256;
/** The lowest limit of bytes in a part, after earlier parts were left out. */
const PART_BYTES_MIN = 64 * 1024;

/**
 * Keys that a MessagePack library may take for an object's own methods, `constructor` and `toJSON` above all; clients
 * can send any key. An assignment to `__proto__` would set the prototype.
 */
const NAMES_OF_OBJECTS: ReadonlySet<string> = new Set([...Object.getOwnPropertyNames(Object.prototype), "toJSON"]);

/** The keys that can be written as they are. Recent results are kept, because many records have the same keys. */
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
/** The number of kept keys at which all of them are forgotten. */
const KEYS_MAX = 1_000;

/** The limits of a copy, and what happens to values that cannot be copied. */
export interface PlainLimits {
  /** Roughly the most bytes of the copy. Exceeding them ends the walk at once. */
  readonly bytesMax: number;
  /** The most values that the walk looks at. Without it, only `bytesMax` limits them. */
  readonly valuesMax?: number;
  /**
   * Called for values that are left out because they cannot be copied. Without it, the first such value throws
   * {@link NotPlain}; so does a function or a symbol, which is otherwise left out silently.
   */
  readonly onLeftOut?: (left: LeftOut) => void;
  /** Whether repeated texts and keys are written once, in tables. Only for receivers that read form 2. */
  readonly sharesParts?: boolean;
  /** Whether each {@link Part} is replaced without a look at its value, because the data was too long with them. */
  readonly withoutParts?: boolean;
}

type Path = readonly (string | number)[];

/** The report of a value that cannot leave this process. */
export interface LeftOut {
  readonly message: string;
  /** The message without the indexes of lists: the same fault in many items of a list is one kind. */
  readonly kind: string;
}

/** The error for data that cannot leave this process: a value in it cannot be copied, or it exceeds a limit. */
export class NotPlain extends Error implements LeftOut {
  override readonly name = "NotPlain";
  readonly kind: string;

  constructor(path: Path, why: string) {
    const { message, kind } = leftOut(path, why);
    super(message);
    this.kind = kind;
  }
}

/** A value in a message that may be replaced as a whole, so that the rest of the message arrives. */
export class Part {
  readonly value: unknown;
  /** The replacement for the value. */
  readonly instead: unknown;

  constructor(value: unknown, instead?: unknown) {
    this.value = value;
    this.instead = instead;
  }
}

/** The result of {@link toWire}. */
export interface Wire {
  readonly wire: unknown;
  /** Whether `wire` contains tagged values. */
  readonly isTagged: boolean;
  /** The shared texts and keys, if {@link PlainLimits.sharesParts} is set. */
  readonly tables: TableWriter | undefined;
}

/**
 * Makes a copy with values only, ready to be packed. It shares the bytes of typed arrays with the original. Class
 * instances become records of their own enumerable properties, objects with a `toJSON` become its result, and circular
 * references are kept. Whatever the app's classes do, the walk looks at no more values than the limits allow.
 * @throws NotPlain
 */
export function toWire(value: unknown, limits: PlainLimits, root: string): Wire {
  const copier = new Copier(limits, root);
  const wire = copier.copy(value, 0);
  return { wire, isTagged: copier.isTagged, tables: copier.tables };
}

class Copier {
  private readonly limits: PlainLimits;
  /** The place of the current value. The text of the place is made only for a report. */
  private readonly path: (string | number)[];
  /**
   * The number of each list, record, map and set, in the order in which they begin. An object with a `toJSON` has the
   * number of its result.
   */
  private readonly seen = new Map<object, number>();
  /** The keys of `seen` in the order of their addition, so that the latest can be removed again. */
  private readonly trail: object[] = [];
  private begun = 0;
  private bytes = 0;
  private values = 0;
  private bytesMax: number;
  private valuesMax: number;
  private partValuesMax = PART_VALUES_MAX;
  private partBytesMax: number;
  private told = 0;
  private lastTold: { readonly path: Path; readonly why: string } | undefined;
  isTagged = false;
  readonly tables: TableWriter | undefined;

  constructor(limits: PlainLimits, root: string) {
    this.limits = limits;
    this.tables = limits.sharesParts ? new TableWriter() : undefined;
    this.bytesMax = limits.bytesMax;
    this.partBytesMax = limits.bytesMax;
    this.valuesMax = limits.valuesMax ?? Infinity;
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
        // With tables, a negative number stands for a text.
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
        // A message leaves them out silently, as JSON does.
        if (this.limits.onLeftOut === undefined) throw this.notPlain(`is a ${typeof value}`);
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
    const { begun } = this;
    const kept = this.trail.length;
    const deep = this.path.length;
    try {
      return this.copyNew(value, undefined, depth);
    } catch (error) {
      // Reading the object may run the app's code, which may throw.
      if (error instanceof NotPlain) throw error;
      this.takeBack(begun, kept, deep);
      return this.leaveOut("cannot be read");
    }
  }

  /**
   * Copies an object that the walk has not seen.
   * @param owner the object whose `toJSON` returned the value
   */
  private copyNew(value: object, owner: object | undefined, depth: number): unknown {
    const isList = Array.isArray(value);
    const isBare = !isList && isBareRecord(value);
    if (!isList && !isBare && value instanceof Part) return this.copyPart(value, depth);
    if (!isList && !isBare && (ArrayBuffer.isView(value) || types.isArrayBuffer(value))) return this.copyBytes(value);
    this.count(0);
    if (depth >= DEPTH_MAX) return this.leaveOut(TOO_DEEP);
    if (isList) return this.copyList(value as unknown[], owner, depth);
    if (!isBare) {
      if (types.isDate(value)) return this.tag(Tag.date, value.getTime());
      if (types.isRegExp(value)) return this.tag(Tag.regexp, value.source, value.flags);
      if (types.isBoxedPrimitive(value)) return this.copy(value.valueOf(), depth + 1);
      if (types.isNativeError(value)) return this.copyError(value);
      if (types.isMap(value)) return this.copyMap(value, owner, depth);
      if (types.isSet(value)) return this.copySet(value, owner, depth);
    }
    const { toJSON } = value as { toJSON?: unknown };
    // As in JSON, the result of a `toJSON` is not asked for its own `toJSON`.
    if (typeof toJSON === "function" && owner === undefined) {
      this.countValues(COSTLY_VALUES);
      return this.copyMade(toJSON.call(value), value, depth + 1);
    }
    if (isAlive(value) || (!isBare && isAliveInside(value)))
      return this.leaveOut(`is ${nameOf(value)}, which is alive and not data`);
    return this.copyRecord(value as Record<string, unknown>, owner, depth);
  }

  /** Copies the result of an object's `toJSON`. The object's later occurrences refer to this result. */
  private copyMade(made: unknown, owner: object, depth: number): unknown {
    if (typeof made !== "object" || made === null) return this.copy(made, depth);
    const known = this.seen.get(made);
    if (known === undefined) return this.copyNew(made, owner, depth);
    this.remember(owner, known);
    return this.copyObject(made, depth);
  }

  /** Copies the value of a part, or its replacement if the value exceeds a limit: the rest must still be sent. */
  private copyPart({ value, instead }: Part, depth: number): unknown {
    if (this.limits.withoutParts) return this.copy(instead, depth);
    const { begun, bytes, values, bytesMax, valuesMax } = this;
    const kept = this.trail.length;
    const deep = this.path.length;
    this.bytesMax = Math.min(bytesMax, bytes + this.partBytesMax);
    this.valuesMax = Math.min(valuesMax, values + this.partValuesMax);
    try {
      return this.copy(value, depth);
    } catch (error) {
      if (!(error instanceof NotPlain) || this.limits.onLeftOut === undefined) throw error;
      this.takeBack(begun, kept, deep);
      this.bytes = bytes;
      this.values = values;
      // Halve the limits for later parts: all failed walks together are hardly longer than twice the limit of one part.
      this.partBytesMax = Math.max(this.partBytesMax >> 1, PART_BYTES_MIN);
      this.partValuesMax = Math.max(this.partValuesMax >> 1, PART_VALUES_MIN);
      this.leaveOut(TOO_MUCH);
    } finally {
      this.bytesMax = bytesMax;
      this.valuesMax = valuesMax;
    }
    return this.copy(instead, depth);
  }

  private copyBytes(value: ArrayBuffer | ArrayBufferView): unknown {
    this.count(value.byteLength);
    // Throws when the bytes were transferred to another owner.
    const tagged = taggedBytes(value);
    if (Buffer.isBuffer(value)) return value;
    if (tagged === undefined) return this.leaveOut("is of a type that other processes may not have");
    this.isTagged = true;
    return tagged;
  }

  private copyRecord(value: Record<string, unknown>, owner: object | undefined, depth: number): unknown {
    const all = Object.keys(value);
    this.expect(all.length);
    /** The keys of the copied values: `all`, or a list of its own once a key is left out. */
    let keys: readonly string[] = all;
    /** The copied values, after the items with which a record with a shape begins. */
    const list = new Array<unknown>(SHAPED_HEAD + all.length);
    list[0] = null;
    list[1] = Tag.shaped;
    let end = SHAPED_HEAD;
    let isPlain = true;
    this.begin(value, owner);
    for (const key of all) {
      this.path.push(key);
      this.count(key.length);
      let inner: unknown;
      let copied: unknown;
      try {
        // A getter that throws must not fail the whole record.
        inner = value[key];
      } catch {
        copied = this.leaveOut("cannot be read");
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

  /** Writes a record as pairs, if MessagePack cannot represent a key, or a key has a meaning in JavaScript. */
  private pairs(keys: readonly string[], list: unknown[]): unknown {
    const pairs = this.tagged(Tag.record, []);
    keys.forEach((key, index) => pairs.push(this.text(key), list[SHAPED_HEAD + index]));
    return pairs;
  }

  private text(text: string): unknown {
    if (!isWellFormed(text)) return this.tag(Tag.text, JSON.stringify(text));
    return this.tables === undefined ? text : this.tables.text(text);
  }

  private copyList(value: unknown[], owner: object | undefined, depth: number): unknown {
    const { length } = value;
    // A list of holes can have any length, and costs nothing until it is walked.
    this.expect(length);
    const list: unknown[] = length <= ROOM_ITEMS_MAX ? new Array<unknown>(length) : [];
    this.begin(value, owner);
    for (let index = 0; index < length; index++) {
      this.path.push(index);
      list[index] = this.copy(value[index], depth + 1);
      this.path.pop();
    }
    return list[0] === null ? this.tagged(Tag.list, list) : list;
  }

  private copyMap(value: Map<unknown, unknown>, owner: object | undefined, depth: number): unknown {
    const pairs = this.tagged(Tag.map, []);
    this.begin(value, owner);
    for (const [key, inner] of value) {
      this.path.push(`get(${typeof key === "string" ? JSON.stringify(key) : typeof key})`);
      pairs.push(this.copy(key, depth + 1), this.copy(inner, depth + 1));
      this.path.pop();
    }
    return pairs;
  }

  private copySet(value: Set<unknown>, owner: object | undefined, depth: number): unknown {
    const items = this.tagged(Tag.set, []);
    this.begin(value, owner);
    let index = 0;
    for (const inner of value) {
      this.path.push(index++);
      items.push(this.copy(inner, depth + 1));
      this.path.pop();
    }
    return items;
  }

  /** Copies the texts of an error only, and not its other properties (`cause`, a response, a socket). */
  private copyError({ name, message, stack }: Error): unknown {
    const text = (value: unknown): unknown => this.copy(String(value), 0);
    return this.tag(Tag.error, text(name), text(message), typeof stack === "string" ? text(stack) : null);
  }

  /** Numbers a container that begins. References to it contain the number of containers that began before it. */
  private begin(container: object, owner: object | undefined): void {
    const number = this.begun++;
    this.remember(container, number);
    if (owner !== undefined && owner !== container) this.remember(owner, number);
  }

  private remember(value: object, number: number): void {
    this.seen.set(value, number);
    this.trail.push(value);
  }

  /** Forgets the containers that began in a value that is left out: references to them would lead nowhere. */
  private takeBack(begun: number, kept: number, deep: number): void {
    for (let last = this.trail.length; last > kept; last--) this.seen.delete(this.trail.pop() as object);
    this.begun = begun;
    this.path.length = deep;
  }

  private tag(tag: number, ...rest: unknown[]): unknown[] {
    return this.tagged(tag, rest);
  }

  /** Makes a tagged value from any number of items, which {@link Copier.tag} cannot take as arguments. */
  private tagged(tag: number, rest: unknown[]): unknown[] {
    this.isTagged = true;
    return [null, tag].concat(rest as never[]);
  }

  private count(bytes: number): void {
    this.bytes += bytes + VALUE_BYTES;
    if (this.bytes > this.bytesMax) throw this.tooMuch(`${this.bytesMax} bytes`);
    if (++this.values > this.valuesMax) throw this.tooMuch(`${this.valuesMax} values`);
  }

  private countValues(values: number): void {
    this.values += values;
    if (this.values > this.valuesMax) throw this.tooMuch(`${this.valuesMax} values`);
  }

  /** Checks before the first of several values is copied whether all of them would exceed a limit. */
  private expect(values: number): void {
    if (this.bytes + values * VALUE_BYTES > this.bytesMax) throw this.tooMuch(`${this.bytesMax} bytes`);
    if (this.values + values > this.valuesMax) throw this.tooMuch(`${this.valuesMax} values`);
  }

  private tooMuch(bound: string): NotPlain {
    return new NotPlain(this.path.slice(0, 1), `is more than ${bound}`);
  }

  private notPlain(why: string): NotPlain {
    return new NotPlain(this.path, why);
  }

  private leaveOut(why: string): unknown {
    const { onLeftOut } = this.limits;
    if (onLeftOut === undefined) throw this.notPlain(why);
    this.countValues(COSTLY_VALUES);
    if (this.told < TOLD_MAX && !this.wasJustTold(why)) {
      this.told++;
      this.lastTold = { path: [...this.path], why };
      onLeftOut(leftOut(this.path, why));
    }
    return this.tag(Tag.undefined);
  }

  /** Whether the last report had the same reason and place, apart from indexes: a list may have many such items. */
  private wasJustTold(why: string): boolean {
    const last = this.lastTold;
    if (last === undefined || last.why !== why) return false;
    // A structure without end has countless such places, each with a path of its own.
    if (why === TOO_DEEP) return true;
    if (last.path.length !== this.path.length) return false;
    return last.path.every((step, index) => {
      const now = this.path[index];
      return step === now || (typeof step === "number" && typeof now === "number");
    });
  }
}

function leftOut(path: Path, why: string): LeftOut {
  const place = pathText(path);
  return { message: `${place} ${why}`, kind: `${place.replace(/\[\d+\]/g, "[]")} ${why}` };
}

function pathText(path: Path): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else text += text === "" ? step : `.${step}`;
    if (text.length > 200) break;
  }
  return text === "" ? "it" : text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
