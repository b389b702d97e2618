/**
 * Rooms as text (`spec/trunk.md`, section 7). In Socket.IO a room is the key of a `Map`, of any type; nodes and other
 * app servers see text. Two keys have the same text exactly when a `Map` treats them as one key. An ordinary string is
 * its own text; all other texts begin with U+0000.
 */
import { randomBytes } from "node:crypto";

const ESCAPE = "\0";
const Kind = {
  string: "s",
  number: "n",
  bigint: "i",
  boolean: "b",
  null: "l",
  undefined: "u",
  symbol: "y",
  identity: "o",
} as const;

/** The text of a room for nodes and other app servers. */
export function textOf(key: unknown): string {
  return typeof key === "string" && key.charCodeAt(0) !== 0 && isWellFormed(key) ? key : escaped(key);
}

/** The room of a text. A value that is not text is a room already: the first releases sent rooms like that. */
export function keyOf(text: unknown): unknown {
  if (typeof text !== "string" || text.charCodeAt(0) !== 0) return text;
  const rest = text.slice(2);
  try {
    switch (text[1]) {
      case Kind.string:
        return JSON.parse(rest) as unknown;
      case Kind.number:
        return Number(rest);
      case Kind.bigint:
        return BigInt(rest);
      case Kind.boolean:
        return rest === "1";
      case Kind.null:
        return null;
      case Kind.undefined:
        return undefined;
      case Kind.symbol:
        return Symbol.for(JSON.parse(rest) as string);
      default:
        return identities.find(text);
    }
  } catch {
    // A text that we did not make: a room of its own, which equals no other.
    return identities.find(text);
  }
}

/** The texts of several rooms. */
export function textsOf(keys: Iterable<unknown> | undefined): string[] {
  const list: string[] = [];
  if (keys !== undefined) for (const key of keys) list.push(textOf(key));
  return list;
}

function escaped(key: unknown): string {
  switch (typeof key) {
    case "string":
      // JSON writes lone surrogates as escapes, so they stay distinct.
      return ESCAPE + Kind.string + JSON.stringify(key);
    case "number":
      // As in a `Map`: -0 is 0, and NaN equals itself.
      return ESCAPE + Kind.number + String(key);
    case "bigint":
      return ESCAPE + Kind.bigint + String(key);
    case "boolean":
      return ESCAPE + Kind.boolean + (key ? "1" : "0");
    case "undefined":
      return ESCAPE + Kind.undefined;
    case "symbol": {
      const name = Symbol.keyFor(key);
      return name === undefined ? identities.textOf(key) : ESCAPE + Kind.symbol + JSON.stringify(name);
    }
    default:
      return key === null ? ESCAPE + Kind.null : identities.textOf(key as object);
  }
}

const LONE_SURROGATE = /\p{Surrogate}/u;
type WellFormed = string & { isWellFormed(): boolean };

/** Whether a text can be encoded in UTF-8: it has no half of a character. Node.js 18 has no method for it. */
export const isWellFormed: (text: string) => boolean =
  "isWellFormed" in String.prototype
    ? (text) => (text as WellFormed).isWellFormed()
    : (text) => !LONE_SURROGATE.test(text);

type Identity = object | symbol;

/**
 * Rooms that are equal only to themselves: objects, functions and unregistered symbols. They are held weakly: what the
 * app has forgotten is not kept.
 */
class Identities {
  private readonly prefix = `${ESCAPE}${Kind.identity}${randomBytes(12).toString("base64url")}:`;
  private readonly texts = new WeakMap<object, string>();
  private readonly known = new Map<string, { deref(): Identity | undefined }>();
  /** Symbols before Node.js 20, which cannot be held weakly there. */
  private readonly held = new Map<Identity, string>();
  private readonly gone = new FinalizationRegistry<string>((text) => {
    // Another value may have the same text by now.
    if (this.known.get(text)?.deref() === undefined) this.known.delete(text);
  });
  private last = 0;

  textOf(identity: Identity): string {
    const text = this.texts.get(identity as object) ?? this.held.get(identity);
    return text ?? this.note(identity, this.prefix + String(++this.last));
  }

  /** For a value of another process, or one forgotten here: a stand-in, which lives as long as something holds it. */
  find(text: string): Identity {
    const identity = this.known.get(text)?.deref();
    if (identity !== undefined) return identity;
    const standIn = Object.freeze({});
    this.note(standIn, text);
    return standIn;
  }

  private note(identity: Identity, text: string): string {
    try {
      this.texts.set(identity as object, text);
      this.known.set(text, new WeakRef(identity as object));
      this.gone.register(identity as object, text);
    } catch {
      this.held.set(identity, text);
      this.known.set(text, { deref: () => identity });
    }
    return text;
  }
}

const identities = new Identities();
