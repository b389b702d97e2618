import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { decodeBatch } from "../dist/esm/trunk/decode.js";
import { encodeFrame } from "../dist/esm/trunk/encode.js";
import { FrameType } from "../dist/esm/trunk/frames.js";
import { Reader } from "../dist/esm/trunk/reader.js";
import { Writer } from "../dist/esm/trunk/writer.js";

const vectors = JSON.parse(readFileSync(new URL("../../../spec/vectors/frames.json", import.meta.url), "utf8"));
const frames = allOf("frames");
const invalid = allOf("invalid");
const BINARY = new Set(["token", "payload", "body", "data", "state"]);

/** The vectors under that name, and those of later sections that stand next to them. */
function allOf(name) {
  return ["", "_relay", "_homes", "_nodes"].flatMap((rest) => vectors[`${name}${rest}`]);
}

/** The vectors' way to write a frame: names as in the spec, bytes in hex, headers as pairs. */
function toVector(value, key) {
  if (Buffer.isBuffer(value)) return value.toString("hex");
  if (Array.isArray(value)) return value.map((item) => toVector(item));
  if (typeof value !== "object" || value === null) return value;
  const { rawHeaders, ...rest } = value;
  const vector = Object.fromEntries(Object.entries(rest).map(([name, inner]) => [snake(name), toVector(inner, name)]));
  return rawHeaders === undefined ? vector : { ...vector, headers: pairUp(rawHeaders) };
}

const pairUp = (flat) => flat.flatMap((name, index) => (index % 2 === 0 ? [{ name, value: flat[index + 1] }] : []));

function fromVector(value, key) {
  if (typeof value === "string" && BINARY.has(key)) return Buffer.from(value, "hex");
  if (Array.isArray(value)) return value.map((item) => fromVector(item));
  if (typeof value !== "object" || value === null) return value;
  const frame = Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [camel(name), fromVector(inner, name)]),
  );
  // A client's request has them flat.
  if (frame.method !== undefined) frame.rawHeaders = frame.headers.flatMap(({ name, value }) => [name, value]);
  return frame;
}

const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const camel = (name) => name.replace(/_([a-z])/g, (_match, letter) => letter.toUpperCase());
const decode = (hex) => decodeBatch(new Reader(Buffer.from(hex, "hex")));

test("the vectors are there", () => {
  assert.ok(frames.length > 150 && vectors.batches.length > 0 && invalid.length > 200);
  const types = new Set(frames.map(({ frame }) => frame.type));
  assert.deepEqual(
    Object.keys(FrameType).filter((type) => !types.has(type)),
    [],
  );
});

for (const { name, hex, frame } of frames) {
  test(`decodes: ${name}`, () =>
    assert.deepEqual(
      decode(hex).map((each) => toVector(each)),
      [frame],
    ));
  test(`encodes: ${name}`, () => {
    const writer = new Writer(Buffer.alloc(2));
    encodeFrame(writer, fromVector(frame));
    assert.equal(writer.take().toString("hex"), hex);
  });
}

for (const { name, hex, frames } of vectors.batches) {
  test(`decodes a batch: ${name}`, () =>
    assert.deepEqual(
      decode(hex).map((each) => toVector(each)),
      frames,
    ));
}

for (const { name, hex, error } of invalid) {
  test(`refuses: ${name}`, () => assert.throws(() => decode(hex), { name: "DecodeError", rule: error }));
}

test("a frame whose guessed length was wrong is moved into place", () => {
  for (const bytes of [0, 1, 125, 126, 127, 128, 16_380, 16_384, 70_000]) {
    for (const guess of [0, 127, 128, 20_000, 3_000_000]) {
      const writer = new Writer();
      const start = writer.begin(0x13, guess);
      writer.varint(5);
      writer.u8(1);
      writer.raw(Buffer.alloc(bytes, 7));
      writer.finish(start);
      const [frame] = decodeBatch(new Reader(writer.take()));
      assert.equal(frame.payload.length, bytes, `${bytes} bytes, guess ${guess}`);
    }
  }
});

test("text of every length arrives whole", () => {
  for (const text of [
    "",
    "a",
    "é".repeat(39),
    "é".repeat(40),
    "x".repeat(100),
    "漢".repeat(5000),
    "y".repeat(40_000),
    "😀".repeat(9000),
  ]) {
    const writer = new Writer(Buffer.alloc(8));
    encodeFrame(writer, { type: "Namespace", nsp: 1, name: text });
    assert.equal(decodeBatch(new Reader(writer.take()))[0].name, text);
  }
});
