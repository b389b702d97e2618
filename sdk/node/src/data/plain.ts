/**
 * Data that leaves this process (kept state, messages to other app servers) as data: a copy of values only, bounded in
 * bytes and depth. What is alive (sockets, servers, streams, timers: whatever has connections of its own) never goes,
 * however deep it hides; so nothing leads from an app's data to its server or its keys. The copy holds nothing but what
 * MessagePack can write: the rest is tagged (`tags.ts`).
 */
import { types } from "node:util";
import { isAlive, isAliveInside, isBareRecord, nameOf } from "./alive.js";
import { isWellFormed } from "./keys.js";
import { TableWriter } from "./tables.js";
import { bigintText, SHAPED_HEAD, Tag, taggedBytes } from "./tags.js";

/** Deeper data is not data but a structure that refers to itself. */
export const DEPTH_MAX = 100;
/** A list of so many items gets its room at once. */
const ROOM_ITEMS_MAX = 1_024;
/** Of a {@link Part}: the same for all, so that it is said once. */
const TOO_MUCH = "has more values or bytes than fit into a message beside the rest";
const TOO_DEEP = `is more than ${DEPTH_MAX} levels deep`;
/** What is counted for each value beside its own bytes. */
export const VALUE_BYTES = 8;
/**
 * For so many values counts a call of the app's `toJSON`, which may make a new structure each time, and a value that is
 * left out: both take longer than others.
 */
const COSTLY_VALUES = 16;
/** Of so many values that are left out it is said, once for many of a kind. The others are left out without a word. */
const TOLD_MAX = 20;
/** What one {@link Part} may have of values: more has no end, or takes too long. */
const PART_VALUES_MAX = 1 << 20;
/** A part always may have so many, whatever became of those before it. */
const PART_VALUES_MIN = 256;
const PART_BYTES_MIN = 64 * 1024;

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
  /** How many values the walk may look at; as many as the bytes allow when it is not said. */
  readonly valuesMax?: number;
  /**
   * Told of each value that cannot go, which is left out then. Without it the first such value is thrown, functions and
   * symbols included.
   */
  readonly onLeftOut?: (left: LeftOut) => void;
  /** Whether what many values share is written once: for who can read it. */
  readonly sharesParts?: boolean;
  /** Whether every {@link Part} is left out unseen, because the whole was too long with them. */
  readonly withoutParts?: boolean;
}

type Path = readonly (string | number)[];

/** What is said of a value that cannot leave this process. */
export interface LeftOut {
  readonly message: string;
  /** The same for all values that lie at the same place of their lists. */
  readonly kind: string;
}

/** A value that cannot leave this process, or a whole that is too long because of it. */
export class NotPlain extends Error implements LeftOut {
  override readonly name = "NotPlain";
  readonly kind: string;

  constructor(path: Path, why: string) {
    const { message, kind } = leftOut(path, why);
    super(message);
    this.kind = kind;
  }
}

/** A value of a message that may be left out as a whole, so that the rest of the message arrives. */
export class Part {
  readonly value: unknown;
  /** What goes in its place. */
  readonly instead: unknown;

  constructor(value: unknown, instead?: unknown) {
    this.value = value;
    this.instead = instead;
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
 * enumerable properties, objects that know their JSON by it; circles stay circles. However the app's classes behave, the
 * walk looks at no more values than the limits allow. @throws NotPlain
 */
export function toWire(value: unknown, limits: PlainLimits, root: string): Wire {
  const copier = new Copier(limits, root);
  const wire = copier.copy(value, 0);
  return { wire, isTagged: copier.isTagged, tables: copier.tables };
}

class Copier {
  private readonly limits: PlainLimits;
  /** Where we are, for the message: one list, and no text until there is something to say. */
  private readonly path: (string | number)[];
  /**
   * The number of each list, record, map and set: the order in which they begin. What has a `toJSON` has the number of
   * what that made.
   */
  private readonly seen = new Map<object, number>();
  /** What is in `seen`, in order, to be taken out again. */
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
      // Any look at it may run the app's code, which may throw.
      if (error instanceof NotPlain) throw error;
      this.takeBack(begun, kept, deep);
      return this.leaveOut("cannot be read");
    }
  }

  /** @param owner the object whose `toJSON` made it */
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
    // As in JSON, what a `toJSON` made is not asked for its own.
    if (typeof toJSON === "function" && owner === undefined) {
      this.countValues(COSTLY_VALUES);
      return this.copyMade(toJSON.call(value), value, depth + 1);
    }
    if (isAlive(value) || (!isBare && isAliveInside(value)))
      return this.leaveOut(`is ${nameOf(value)}, which is alive and not data`);
    return this.copyRecord(value as Record<string, unknown>, owner, depth);
  }

  /** What the `toJSON` of an object made: who meets the object again, inside of it or later, refers to that. */
  private copyMade(made: unknown, owner: object, depth: number): unknown {
    if (typeof made !== "object" || made === null) return this.copy(made, depth);
    const known = this.seen.get(made);
    if (known === undefined) return this.copyNew(made, owner, depth);
    this.remember(owner, known);
    return this.copyObject(made, depth);
  }

  /** What of it is too much or cannot be read is not the whole's fault. */
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
      // What is looked at in vain is bounded, too: all of it is hardly more than twice what one part may have.
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
    // Throws when they were taken away from their owner.
    const tagged = taggedBytes(value);
    if (Buffer.isBuffer(value)) return value;
    if (tagged === undefined) return this.leaveOut("is of a type that other processes may not have");
    this.isTagged = true;
    return tagged;
  }

  private copyRecord(value: Record<string, unknown>, owner: object | undefined, depth: number): unknown {
    const all = Object.keys(value);
    this.expect(all.length);
    /** Those that are copied; a list of their own from the first one on that is left out. */
    let keys: readonly string[] = all;
    /** The values, behind what a record with a shape begins with. */
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
        // One getter that throws is not the whole record's fault.
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

  private copyList(value: unknown[], owner: object | undefined, depth: number): unknown {
    const { length } = value;
    // A list of holes has any length and costs nothing until it is walked.
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

  /** By its words: what else hangs on an error (`cause`, a response, a socket) is not part of it. */
  private copyError({ name, message, stack }: Error): unknown {
    const text = (value: unknown): unknown => this.copy(String(value), 0);
    return this.tag(Tag.error, text(name), text(message), typeof stack === "string" ? text(stack) : null);
  }

  /** A container begins: what refers to it later says how many began before it. */
  private begin(container: object, owner: object | undefined): void {
    const number = this.begun++;
    this.remember(container, number);
    if (owner !== undefined && owner !== container) this.remember(owner, number);
  }

  private remember(value: object, number: number): void {
    this.seen.set(value, number);
    this.trail.push(value);
  }

  /** What began in a part that is left out is not there to be referred to. */
  private takeBack(begun: number, kept: number, deep: number): void {
    for (let last = this.trail.length; last > kept; last--) this.seen.delete(this.trail.pop() as object);
    this.begun = begun;
    this.path.length = deep;
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
    if (this.bytes > this.bytesMax) throw this.tooMuch(`${this.bytesMax} bytes`);
    if (++this.values > this.valuesMax) throw this.tooMuch(`${this.valuesMax} values`);
  }

  private countValues(values: number): void {
    this.values += values;
    if (this.values > this.valuesMax) throw this.tooMuch(`${this.valuesMax} values`);
  }

  /** So many values follow: whether that is too much is known before the first one. */
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

  /** Of a list, or of any other structure that may have any number of the same. */
  private wasJustTold(why: string): boolean {
    const last = this.lastTold;
    if (last === undefined || last.why !== why) return false;
    // A structure without end has such places without number.
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
