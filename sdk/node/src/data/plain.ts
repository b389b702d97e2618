/**
 * Writes data that leaves this process (kept state, messages to other app servers) as MessagePack. Only values are
 * written, and their bytes and depth are limited. Live objects (sockets, servers, streams, timers: objects with
 * connections of their own) are never written, at any depth, so that no path leads from an app's data to its server or
 * its keys. Values that MessagePack cannot represent are tagged (`tags.ts`).
 */
import { types } from "node:util";
import { isAlive, isAliveInside, isBareRecord, nameOf } from "./alive.js";
import { isWellFormed } from "./keys.js";
import { Part, VALUE_BYTES, type PlainLimits } from "./limits.js";
import type { PackWriter } from "./msgpack.js";
import { leftOut, NotPlain, type Path } from "./not_plain.js";
import { arePlain } from "./plain_keys.js";
import { TableWriter, type Shape } from "./tables.js";
import { bigintText, SHAPED_HEAD, Tag, taggedBytes } from "./tags.js";

/** The most levels of nested values. Deeper data is treated as a structure without end. */
const DEPTH_MAX = 100;
/** The reason why a {@link Part} is left out. Without figures, so that parts of one kind are reported once. */
const TOO_MUCH = "has more values or bytes than fit into a message beside the rest";
const TOO_DEEP = `is more than ${DEPTH_MAX} levels deep`;
/**
 * The number of values that is counted for a call of the app's `toJSON`, which may make a new structure each time, and
 * for a value that is left out: both take longer than writing a value.
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

/** The result of {@link writePlain}. */
export interface Written {
  /** Whether tagged values were written. */
  readonly isTagged: boolean;
  /** The shared texts and keys, if {@link PlainLimits.sharesParts} is set. */
  readonly tables: TableWriter | undefined;
}

/**
 * Writes a value. Class instances become records of their own enumerable properties, objects with a `toJSON` become its
 * result, and circular references are kept. Whatever the app's classes do, the walk looks at no more values than the
 * limits allow.
 * @throws NotPlain
 */
export function writePlain(value: unknown, limits: PlainLimits, root: string, out: PackWriter): Written {
  const walk = new Walk(limits, root, out);
  walk.write(value, 0);
  return walk;
}

class Walk implements Written {
  private readonly limits: PlainLimits;
  private readonly out: PackWriter;
  /** The place of the current value, up to `level`. The text of the place is made only for a report. */
  private readonly path: (string | number)[];
  private level: number;
  /**
   * The number of each list, record, map and set, in the order in which they begin. An object with a `toJSON` has the
   * number of its result.
   */
  private readonly seen = new Map<object, number>();
  /** The keys of `seen` in the order of their addition, so that the latest can be removed again. */
  private readonly trail: object[] = [];
  private begun = 0;
  /** Whether nothing can refer to the current value, see {@link PlainLimits.ownsRest}. */
  private isOwn: boolean;
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

  constructor(limits: PlainLimits, root: string, out: PackWriter) {
    this.limits = limits;
    this.out = out;
    this.tables = limits.sharesParts ? new TableWriter() : undefined;
    this.isOwn = limits.ownsRest ?? false;
    this.bytesMax = limits.bytesMax;
    this.partBytesMax = limits.bytesMax;
    this.valuesMax = limits.valuesMax ?? Infinity;
    this.path = root === "" ? [] : [root];
    this.level = this.path.length;
  }

  write(value: unknown, depth: number): void {
    switch (typeof value) {
      case "string":
        this.count(value.length);
        return this.text(value);
      case "number":
        this.count(0);
        return this.number(value);
      case "boolean":
        this.count(0);
        return this.out.bool(value);
      case "bigint": {
        const text = bigintText(value);
        this.count(text.length);
        this.tag(Tag.bigint, 1);
        return this.out.text(text);
      }
      case "undefined":
        this.count(0);
        return this.tag(Tag.undefined, 0);
      case "function":
      case "symbol":
        // A message leaves them out silently, as JSON does.
        if (this.limits.onLeftOut === undefined) throw new NotPlain(this.place, `is a ${typeof value}`);
        return this.tag(Tag.undefined, 0);
      case "object":
        if (value !== null) return this.object(value, depth);
        this.count(0);
        this.out.nil();
    }
  }

  private number(value: number): void {
    if (value === 0 && Object.is(value, -0)) return this.tag(Tag.negativeZero, 0);
    // With tables, a negative number stands for a text.
    if (value < 0 && this.tables !== undefined) this.tag(Tag.number, 1);
    this.out.number(value);
  }

  private object(value: object, depth: number): void {
    const known = this.isOwn ? undefined : this.seen.get(value);
    if (known !== undefined) {
      this.count(0);
      this.tag(Tag.reference, 1);
      return this.out.number(known);
    }
    const { begun, level } = this;
    const kept = this.trail.length;
    const start = this.out.pos;
    try {
      this.newObject(value, undefined, depth);
    } catch (error) {
      // Reading the object may run the app's code, which may throw.
      if (error instanceof NotPlain) throw error;
      this.takeBack(begun, kept, level, start);
      this.leaveOut("cannot be read");
    }
  }

  /**
   * Writes an object that the walk has not seen.
   * @param owner the object whose `toJSON` returned the value
   */
  private newObject(value: object, owner: object | undefined, depth: number): void {
    const isList = Array.isArray(value);
    const isBare = !isList && isBareRecord(value);
    if (!isList && !isBare && value instanceof Part) return this.part(value, depth);
    if (!isList && !isBare && (ArrayBuffer.isView(value) || types.isArrayBuffer(value))) return this.binary(value);
    this.count(0);
    if (depth >= DEPTH_MAX) return this.leaveOut(TOO_DEEP);
    if (isList) return this.list(value as unknown[], owner, depth);
    if (!isBare) {
      if (types.isDate(value)) return this.date(value);
      if (types.isRegExp(value)) return this.regexp(value);
      if (types.isBoxedPrimitive(value)) return this.write(value.valueOf(), depth + 1);
      if (types.isNativeError(value)) return this.error(value);
      if (types.isMap(value)) return this.map(value, owner, depth);
      if (types.isSet(value)) return this.set(value, owner, depth);
    }
    const { toJSON } = value as { toJSON?: unknown };
    // As in JSON, the result of a `toJSON` is not asked for its own `toJSON`.
    if (typeof toJSON === "function" && owner === undefined) {
      this.countValues(COSTLY_VALUES);
      return this.made(toJSON.call(value), value, depth + 1);
    }
    if (isAlive(value) || (!isBare && isAliveInside(value)))
      return this.leaveOut(`is ${nameOf(value)}, which is alive and not data`);
    this.record(value as Record<string, unknown>, owner, depth);
  }

  /** Writes the result of an object's `toJSON`. The object's later occurrences refer to this result. */
  private made(made: unknown, owner: object, depth: number): void {
    if (typeof made !== "object" || made === null) return this.write(made, depth);
    const known = this.seen.get(made);
    if (known === undefined) return this.newObject(made, owner, depth);
    this.remember(owner, known);
    this.object(made, depth);
  }

  /** Writes the value of a part, or its replacement if the value exceeds a limit: the rest must still be sent. */
  private part({ value, instead }: Part, depth: number): void {
    if (this.limits.withoutParts) return this.write(instead, depth);
    const { begun, level, isOwn, bytes, values, bytesMax, valuesMax } = this;
    const kept = this.trail.length;
    const start = this.out.pos;
    this.isOwn = false;
    this.bytesMax = Math.min(bytesMax, bytes + this.partBytesMax);
    this.valuesMax = Math.min(valuesMax, values + this.partValuesMax);
    try {
      return this.write(value, depth);
    } catch (error) {
      if (!(error instanceof NotPlain) || this.limits.onLeftOut === undefined) throw error;
      this.takeBack(begun, kept, level, start);
      this.bytes = bytes;
      this.values = values;
      // Halve the limits for later parts: all failed walks together are hardly longer than twice the limit of one part.
      this.partBytesMax = Math.max(this.partBytesMax >> 1, PART_BYTES_MIN);
      this.partValuesMax = Math.max(this.partValuesMax >> 1, PART_VALUES_MIN);
      this.leaveOut(TOO_MUCH);
      this.out.pos = start;
    } finally {
      this.isOwn = isOwn;
      this.bytesMax = bytesMax;
      this.valuesMax = valuesMax;
    }
    this.write(instead, depth);
  }

  private binary(value: ArrayBuffer | ArrayBufferView): void {
    this.count(value.byteLength);
    // Throws when the bytes were transferred to another owner.
    const tagged = taggedBytes(value);
    if (Buffer.isBuffer(value)) return this.out.bytes(value);
    if (tagged === undefined) return this.leaveOut("is of a type that other processes may not have");
    this.tag(Tag.bytes, 2);
    this.out.text(tagged.name);
    this.out.bytes(tagged.bytes);
  }

  private record(value: Record<string, unknown>, owner: object | undefined, depth: number): void {
    const keys = Object.keys(value);
    this.expect(keys.length);
    const shape = this.tables?.shape(keys);
    const form = shape !== undefined ? RecordForm.shaped : arePlain(keys) ? RecordForm.map : RecordForm.pairs;
    const start = this.out.pos;
    this.recordHead(form, keys.length, shape);
    const inside = this.out.pos;
    this.begin(value, owner);
    const level = this.level++;
    /** The keys that are written, if one is left out. */
    let rest: string[] | undefined;
    let index = 0;
    // V8 reads the properties of a `for` … `in` several times faster than those of a list of keys. It also finds
    // inherited keys, and skips those that are deleted meanwhile: then the second loop reads the rest.
    for (const key in value) {
      if (key !== keys[index]) break;
      this.path[level] = key;
      let inner: unknown = UNREADABLE;
      try {
        inner = value[key];
      } catch {
        // A getter that throws must not fail the whole record.
      }
      if (this.field(form, shape, index, key, inner, depth)) rest?.push(key);
      else rest ??= keys.slice(0, index);
      index++;
    }
    for (; index < keys.length; index++) {
      const key = (this.path[level] = keys[index] as string);
      let inner: unknown = UNREADABLE;
      try {
        inner = value[key];
      } catch {
        // As above.
      }
      if (this.field(form, shape, index, key, inner, depth)) rest?.push(key);
      else rest ??= keys.slice(0, index);
    }
    this.level = level;
    if (rest !== undefined) this.recordAgain(form, rest, start, inside);
  }

  /** Writes one property of a record. Returns false, and writes nothing, if it is left out. */
  private field(
    form: number,
    shape: Shape | undefined,
    at: number,
    key: string,
    inner: unknown,
    depth: number,
  ): boolean {
    this.count(key.length);
    if (typeof inner === "function" && this.limits.onLeftOut !== undefined) return false;
    if (form === RecordForm.map) this.out.text(key);
    else if (form === RecordForm.pairs) this.text(key);
    if (inner === UNREADABLE) this.leaveOut("cannot be read");
    else if (typeof inner === "string" && shape !== undefined) this.textOf(shape, at, inner);
    else this.write(inner, depth + 1);
    return true;
  }

  /** Corrects the beginning of a record of which a key was left out. */
  private recordAgain(form: number, keys: readonly string[], start: number, inside: number): void {
    const shape = form === RecordForm.shaped ? this.tables?.shape(keys, true) : undefined;
    this.out.replace(start, inside, () => this.recordHead(form, keys.length, shape));
  }

  /** Writes a text of a record with a shape. */
  private textOf(shape: Shape, index: number, text: string): void {
    this.count(text.length);
    const number = (this.tables as TableWriter).textOf(shape, index, text);
    if (number === undefined) this.plainText(text);
    else this.out.number(-1 - number);
  }

  private recordHead(form: number, length: number, shape: Shape | undefined): void {
    if (form === RecordForm.map) return this.out.map(length);
    if (form === RecordForm.pairs) return this.tag(Tag.record, 2 * length);
    this.tag(Tag.shaped, SHAPED_HEAD - 2 + length);
    this.out.number((shape as Shape).number);
  }

  private text(text: string): void {
    const number = this.tables?.text(text);
    if (number === undefined) this.plainText(text);
    else this.out.number(-1 - number);
  }

  private plainText(text: string): void {
    if (this.out.ascii(text)) return;
    if (isWellFormed(text)) return this.out.text(text);
    this.tag(Tag.text, 1);
    this.out.text(JSON.stringify(text));
  }

  private list(value: unknown[], owner: object | undefined, depth: number): void {
    const { length } = value;
    // A list of holes can have any length, and costs nothing until it is walked.
    this.expect(length);
    const { out } = this;
    const start = out.pos;
    out.list(length);
    const inside = out.pos;
    this.begin(value, owner);
    const level = this.level++;
    for (let index = 0; index < length; index++) {
      this.path[level] = index;
      this.write(value[index], depth + 1);
      // A list that begins with nil would be taken for a tagged value.
      if (index === 0 && out.at(inside) === NIL) out.replace(start, inside, () => this.tag(Tag.list, length));
    }
    this.level = level;
  }

  private map(value: Map<unknown, unknown>, owner: object | undefined, depth: number): void {
    const start = this.out.pos;
    const expected = mapSize.call(value);
    this.tag(Tag.map, 2 * expected);
    const inside = this.out.pos;
    this.begin(value, owner);
    const level = this.level++;
    let size = 0;
    for (const [key, inner] of value) {
      this.path[level] = `get(${typeof key === "string" ? JSON.stringify(key) : typeof key})`;
      this.write(key, depth + 1);
      this.write(inner, depth + 1);
      size++;
    }
    this.level = level;
    // An object of the app's own class may give other entries, and its values may change it.
    if (size !== expected) this.out.replace(start, inside, () => this.tag(Tag.map, 2 * size));
  }

  private set(value: Set<unknown>, owner: object | undefined, depth: number): void {
    const start = this.out.pos;
    const expected = setSize.call(value);
    this.tag(Tag.set, expected);
    const inside = this.out.pos;
    this.begin(value, owner);
    const level = this.level++;
    let size = 0;
    for (const inner of value) {
      this.path[level] = size++;
      this.write(inner, depth + 1);
    }
    this.level = level;
    if (size !== expected) this.out.replace(start, inside, () => this.tag(Tag.set, size));
  }

  private date(value: Date): void {
    const time = value.getTime();
    this.tag(Tag.date, 1);
    this.out.number(time);
  }

  private regexp({ source, flags }: RegExp): void {
    this.tag(Tag.regexp, 2);
    this.out.text(source);
    this.out.text(flags);
  }

  /** Writes the texts of an error only, and not its other properties (`cause`, a response, a socket). */
  private error({ name, message, stack }: Error): void {
    this.tag(Tag.error, 3);
    this.write(String(name), 0);
    this.write(String(message), 0);
    if (typeof stack === "string") this.write(stack, 0);
    else this.out.nil();
  }

  /** Numbers a container that begins. References to it contain the number of containers that began before it. */
  private begin(container: object, owner: object | undefined): void {
    const number = this.begun++;
    if (this.isOwn) return;
    this.remember(container, number);
    if (owner !== undefined && owner !== container) this.remember(owner, number);
  }

  private remember(value: object, number: number): void {
    this.seen.set(value, number);
    this.trail.push(value);
  }

  /**
   * Takes back what was written of a value that is left out, and forgets the containers that began in it: references to
   * them would lead nowhere.
   */
  private takeBack(begun: number, kept: number, level: number, start: number): void {
    for (let last = this.trail.length; last > kept; last--) this.seen.delete(this.trail.pop() as object);
    this.begun = begun;
    this.level = level;
    this.out.pos = start;
  }

  /** Begins a tagged value: its items follow. */
  private tag(tag: number, items: number): void {
    this.isTagged = true;
    this.out.list(2 + items);
    this.out.nil();
    this.out.number(tag);
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

  /** Checks before the first of several values is written whether all of them would exceed a limit. */
  private expect(values: number): void {
    if (this.bytes + values * VALUE_BYTES > this.bytesMax) throw this.tooMuch(`${this.bytesMax} bytes`);
    if (this.values + values > this.valuesMax) throw this.tooMuch(`${this.valuesMax} values`);
  }

  private get place(): Path {
    return this.path.slice(0, this.level);
  }

  private tooMuch(bound: string): NotPlain {
    return new NotPlain(this.place.slice(0, 1), `is more than ${bound}`);
  }

  private leaveOut(why: string): void {
    const { onLeftOut } = this.limits;
    if (onLeftOut === undefined) throw new NotPlain(this.place, why);
    this.countValues(COSTLY_VALUES);
    if (this.told < TOLD_MAX && !this.wasJustTold(why)) {
      this.told++;
      this.lastTold = { path: this.place, why };
      onLeftOut(leftOut(this.place, why));
    }
    this.tag(Tag.undefined, 0);
  }

  /** Whether the last report had the same reason and place, apart from indexes: a list may have many such items. */
  private wasJustTold(why: string): boolean {
    const last = this.lastTold;
    if (last === undefined || last.why !== why) return false;
    // A structure without end has countless such places, each with a path of its own.
    if (why === TOO_DEEP) return true;
    if (last.path.length !== this.level) return false;
    return last.path.every((step, index) => {
      const now = this.path[index];
      return step === now || (typeof step === "number" && typeof now === "number");
    });
  }
}

/** The forms of a record: MessagePack's map, and the tags for unsafe keys and for keys in the table. */
const RecordForm = { map: 0, pairs: 1, shaped: 2 } as const;
const NIL = 0xc0;
/** Stands for a property that cannot be read. */
const UNREADABLE = Symbol("unreadable");

type Size = (this: object) => number;
const sizeOf = (proto: object): Size => Object.getOwnPropertyDescriptor(proto, "size")?.get as Size;
const mapSize = sizeOf(Map.prototype);
const setSize = sizeOf(Set.prototype);
