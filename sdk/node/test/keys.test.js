// Rooms as text: the table of `spec/vectors/rooms.json`, and that no two keys of a `Map` share a text.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { keyOf, textOf } from "../dist/esm/data/keys.js";

const { rooms } = JSON.parse(readFileSync(new URL("../../../spec/vectors/rooms.json", import.meta.url), "utf8"));

/** A room as the table writes it. */
function read({ kind, value }) {
  switch (kind) {
    case "string":
      return value;
    case "number":
      return Number(value);
    case "bigint":
      return BigInt(value);
    case "boolean":
      return value;
    case "null":
      return null;
    case "undefined":
      return undefined;
    case "symbol":
      return Symbol.for(value);
    default:
      throw new Error(kind);
  }
}

test("every vector, both ways", () => {
  for (const { kind, value, text } of rooms) {
    const room = read({ kind, value });
    assert.equal(textOf(room), text, `${kind} ${value}`);
    // 0 stands for -0, as in a `Map`.
    assert.deepEqual(new Map([[keyOf(text), 1]]), new Map([[room, 1]]), `${kind} ${value}`);
  }
});

test("two rooms have one text exactly when a Map takes them for one", () => {
  const object = {};
  const symbol = Symbol("7");
  const all = [
    ...[
      7,
      "7",
      7n,
      "\0n7",
      "\0",
      "",
      0,
      -0,
      NaN,
      Number.NaN,
      1e21,
      "1e+21",
      Infinity,
      true,
      "true",
      false,
      null,
      "null",
      undefined,
      "undefined",
    ],
    ...["\ud800", "\ud801", "\ufffd", "a\udc00", "\ud83d\ude00", '\0s"\\ud800"', '"\\ud800"'],
    ...[object, {}, Object.create(null), [], [], () => 1, () => 1, new Date(0), "[object Object]"],
    ...[symbol, Symbol("7"), Symbol.for("7"), Symbol.for("\ud800"), Symbol.for(""), Symbol.iterator],
  ];
  for (const one of all) {
    for (const other of all) {
      const areOne = new Map([[one, 1]]).has(other);
      assert.equal(
        textOf(one) === textOf(other),
        areOne,
        `${typeof one} ${String(textOf(one))} and ${typeof other} ${String(textOf(other))}`,
      );
    }
    assert.ok(new Map([[one, 1]]).has(keyOf(textOf(one))), textOf(one));
    assert.equal(Buffer.from(textOf(one)).toString(), textOf(one), "survives UTF-8");
  }
});

test("a text that nobody's rules made is a room of its own, always the same one", () => {
  for (const text of ["\0", "\0x", "\0s{", "\0i1.5", "\0y", "\0oelsewhere:1"]) {
    const room = keyOf(text);
    assert.equal(typeof room, "object", text);
    assert.equal(keyOf(text), room);
    assert.equal(textOf(room), text);
  }
  assert.equal(keyOf(7), 7);
});
