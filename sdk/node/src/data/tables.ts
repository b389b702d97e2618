/**
 * Tables of what many values of one payload share: repeated texts, and the keys of records with the same keys. Each is
 * written once, in a table, and then replaced by its number (`spec/relay.md`, section 3, form 2).
 */
import { isWellFormed } from "./keys.js";
import { arePlain } from "./plain_keys.js";
import { Unreadable } from "./unreadable.js";

/** The shortest text that a number can replace with a gain. */
const UNITS_MIN = 4;
/** The occurrence from which on a text is replaced by its number. */
const TIMES = 3;
/** After so many texts in a row that are not in the table, a place of a shape (an id, for example) shares no more. */
const MISSES_MAX = 64;
/** The most shapes that begin with the same key; records with further shapes are written as they are. */
const ALIKE_MAX = 16;

/** The keys that several records have, in their order. */
export interface Shape {
  readonly keys: readonly string[];
  readonly number: number;
  /** The last shared text at each place, and its number. */
  readonly texts: (string | undefined)[];
  readonly numbers: number[];
  /** How many texts in a row at each place were not in the table. */
  readonly misses: number[];
}

/** The tables of a payload that is being written. */
export class TableWriter {
  readonly texts: string[] = [];
  readonly shapes: Shape[] = [];
  /** How often a text has occurred; for a text in the table its number, as a negative value: -1 is the first. */
  private readonly known = new Map<string, number>();
  private readonly byFirstKey = new Map<string, Shape[]>();

  /** The number of a text that is in the table; undefined for a text that is written as it is. */
  text(text: string): number | undefined {
    if (text.length < UNITS_MIN) return undefined;
    const found = this.known.get(text);
    if (found === undefined) {
      this.known.set(text, 1);
      return undefined;
    }
    if (found < 0) return -1 - found;
    if (found + 1 < TIMES) {
      this.known.set(text, found + 1);
      return undefined;
    }
    // Tables have no tagged texts.
    if (!isWellFormed(text)) return undefined;
    const number = this.texts.push(text) - 1;
    this.known.set(text, -1 - number);
    return number;
  }

  /** The number of a text at a place of a shape, as {@link TableWriter.text}. */
  textOf({ texts, numbers, misses }: Shape, place: number, text: string): number | undefined {
    if (texts[place] === text) return numbers[place];
    const missed = misses[place] as number;
    if (missed >= MISSES_MAX) return undefined;
    const number = this.text(text);
    if (number === undefined) misses[place] = missed + 1;
    else {
      texts[place] = text;
      numbers[place] = number;
      misses[place] = 0;
    }
    return number;
  }

  /**
   * The shape of a record; undefined for records that are better written as they are.
   * @param always whether the record must have a shape: its keys are among those of a shape
   */
  shape(keys: readonly string[], always?: true): Shape | undefined {
    const first = keys[0] ?? "";
    if (keys.length === 0 && !always) return undefined;
    let alike = this.byFirstKey.get(first);
    if (alike === undefined) this.byFirstKey.set(first, (alike = []));
    for (const shape of alike) if (isSame(shape.keys, keys)) return shape;
    if (!always && (alike.length >= ALIKE_MAX || !arePlain(keys))) return undefined;
    const shape = {
      keys,
      number: this.shapes.length,
      texts: keys.map(() => undefined),
      numbers: keys.map(() => 0),
      misses: keys.map(() => 0),
    };
    this.shapes.push(shape);
    if (alike.length < ALIKE_MAX) alike.push(shape);
    return shape;
  }
}

function isSame(some: readonly string[], others: readonly string[]): boolean {
  if (some.length !== others.length) return false;
  for (let index = 0; index < some.length; index++) if (some[index] !== others[index]) return false;
  return true;
}

/** A shape that was read. Sockets and their handshakes, as Socket.IO describes them, are recognised once for all. */
export interface ReadShape {
  readonly keys: readonly string[];
  readonly isSocket: boolean;
  readonly isHandshake: boolean;
}

const SOCKET = ["id", "rooms", "handshake", "data"];
const HANDSHAKE = ["headers", "time", "address", "xdomain", "secure", "issued", "url", "query", "auth"];

/** The tables of a payload that is being read. */
export class Tables {
  private readonly texts: readonly string[];
  private readonly shapes: readonly ReadShape[];

  /** @throws Unreadable if these are not valid tables */
  constructor(texts: unknown, shapes: unknown) {
    if (!isTexts(texts)) throw new Unreadable("the table of texts is none");
    if (!Array.isArray(shapes) || !shapes.every(isShape)) throw new Unreadable("the table of shapes is none");
    this.texts = texts;
    this.shapes = (shapes as string[][]).map((keys) => {
      return { keys, isSocket: isSame(keys, SOCKET), isHandshake: isSame(keys, HANDSHAKE) };
    });
  }

  text(number: number): string {
    const text = this.texts[-1 - number];
    if (text === undefined) throw new Unreadable("it refers to a text that is not there");
    return text;
  }

  shape(number: unknown): ReadShape {
    const shape = typeof number === "number" ? this.shapes[number] : undefined;
    if (shape === undefined) throw new Unreadable("it refers to a shape that is not there");
    return shape;
  }
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

/** Whether the value is a valid shape: no key twice, and none that would set a prototype. */
function isShape(value: unknown): boolean {
  return isTexts(value) && new Set(value).size === value.length && !value.includes("__proto__");
}
