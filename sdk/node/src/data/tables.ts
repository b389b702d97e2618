/**
 * Tables of what many values of one payload share: repeated texts, and the keys of records with the same keys. Each is
 * written once, in a table, and then replaced by its number (`spec/relay.md`, section 3, form 2).
 */
import { Unreadable } from "./unreadable.js";

/** The shortest text that a number can replace with a gain. */
const UNITS_MIN = 4;
/** The occurrence from which on a text is replaced by its number. */
const TIMES = 3;
/** The most shapes that begin with the same key; records with further shapes are written as they are. */
const ALIKE_MAX = 16;

/** The tables of a payload that is being written. */
export class TableWriter {
  readonly texts: string[] = [];
  readonly shapes: string[][] = [];
  /** The number of a text in the table; a negative value is how often it has occurred. */
  private readonly known = new Map<string, number>();
  private readonly byFirstKey = new Map<string, number[]>();

  /** The replacement for a text: the text itself, or a negative number. */
  text(text: string): string | number {
    if (text.length < UNITS_MIN) return text;
    const found = this.known.get(text);
    if (found !== undefined && found >= 0) return -1 - found;
    const times = 1 - (found ?? 0);
    if (times < TIMES) {
      this.known.set(text, -times);
      return text;
    }
    const number = this.texts.push(text) - 1;
    this.known.set(text, number);
    return -1 - number;
  }

  /** The number of a shape; undefined for records that are better written as they are. */
  shape(keys: readonly string[]): number | undefined {
    const [first] = keys;
    if (first === undefined) return undefined;
    let alike = this.byFirstKey.get(first);
    if (alike === undefined) this.byFirstKey.set(first, (alike = []));
    for (const number of alike) if (isSame(this.shapes[number] as string[], keys)) return number;
    if (alike.length >= ALIKE_MAX) return undefined;
    const number = this.shapes.push([...keys]) - 1;
    alike.push(number);
    return number;
  }
}

function isSame(some: readonly string[], others: readonly string[]): boolean {
  if (some.length !== others.length) return false;
  for (let index = 0; index < some.length; index++) if (some[index] !== others[index]) return false;
  return true;
}

/** The tables of a payload that is being read. */
export class Tables {
  private readonly texts: readonly string[];
  private readonly shapes: readonly (readonly string[])[];

  /** @throws Unreadable if these are not valid tables */
  constructor(texts: unknown, shapes: unknown) {
    if (!isTexts(texts)) throw new Unreadable("the table of texts is none");
    if (!Array.isArray(shapes) || !shapes.every(isShape)) throw new Unreadable("the table of shapes is none");
    this.texts = texts;
    this.shapes = shapes as string[][];
  }

  text(number: number): string {
    const text = this.texts[-1 - number];
    if (text === undefined) throw new Unreadable("it refers to a text that is not there");
    return text;
  }

  shape(number: unknown): readonly string[] {
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
