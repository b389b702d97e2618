// The short way of writing simple records gives the same bytes as the long one, and leaves all others to it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { pack, packFlat, unpack } from "../dist/esm/data/pack.js";
import { randomFrom } from "./support/model-node.js";

const BYTES_MAX = 64 * 1024;
const long = (value) => pack(value, { bytesMax: BYTES_MAX, valuesMax: 1 << 14 }, "");

test("the bytes are the same for any texts and numbers", () => {
  const random = randomFrom(1);
  const upTo = (max) => Math.floor(random() * max);
  const texts = [
    "",
    "a",
    "visitor 7",
    "ä",
    "😀",
    "x".repeat(40),
    "y".repeat(41),
    "z".repeat(300),
    "\0",
    "w".repeat(70_000),
  ];
  const values = [
    () => texts[upTo(texts.length - 1)],
    () => upTo(2 ** 31) - 2 ** 30,
    () => upTo(300) - 150,
    () => random() * 1e9,
    () => 1_790_000_000_000 + upTo(1e6),
    () => [0, NaN, Infinity, -1, 2 ** 53, 4294967295, 4294967296][upTo(7)],
    () => random() < 0.5,
    () => null,
  ];
  const record = (inner) => {
    const made = random() < 0.1 ? Object.create(null) : {};
    for (let count = upTo(20); count > 0; count--) made[`${texts[upTo(5)]}${upTo(30)}`] = inner();
    return made;
  };
  const value = () => values[upTo(values.length)]();
  for (let round = 0; round < 2_000; round++) {
    const one = record(() => (random() < 0.2 ? record(value) : value()));
    const flat = packFlat(one, BYTES_MAX);
    assert.ok(flat?.equals(long(one)), JSON.stringify(one));
  }
});

class Point {
  x = 1;
}
const getter = {
  get secret() {
    throw new Error("no");
  },
};
/** A record with methods that its keys do not show. */
function hidden(...names) {
  const record = {};
  for (const name of names) Object.defineProperty(record, name, { value: () => 7 });
  return record;
}
for (const [what, value] of [
  ["a level more", { data: { deep: {} } }],
  ["a list", { data: [] }],
  ["a list inside", { data: { list: [1] } }],
  ["undefined", { data: { none: undefined } }],
  ["a function", { data: { call: () => undefined } }],
  ["a bigint", { data: { big: 1n } }],
  ["negative zero", { data: { zero: -0 } }],
  ["a date", { data: new Date(0) }],
  ["an instance", { data: new Point() }],
  ["a `toJSON`", { data: hidden("toJSON") }],
  ["an emitter", { data: hidden("on", "emit") }],
  ["half a character", { data: { text: "\ud83d" } }],
  ["a key that objects have", { data: { constructor: "x" } }],
  ["`__proto__`", { data: JSON.parse('{"__proto__":1}') }],
  ["a getter that throws", { data: getter }],
  ["too many bytes", { data: { text: "x".repeat(BYTES_MAX) } }],
]) {
  test(`${what} is left to the long way, which has its buffer`, () => {
    assert.equal(packFlat(value, BYTES_MAX), undefined);
    assert.deepEqual(unpack(packFlat({ data: { a: 1 } }, BYTES_MAX)), { data: { a: 1 } });
  });
}
