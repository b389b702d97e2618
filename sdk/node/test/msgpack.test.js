// Our own MessagePack beside a library's, in both directions, and the places where what was written is corrected.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Packr, Unpackr } from "msgpackr";
import { encodeMessage } from "../dist/esm/cluster/payload.js";
import { pack, unpack } from "../dist/esm/data/pack.js";
import { Unreadable } from "../dist/esm/data/unreadable.js";

const FETCH_SOCKETS_RESPONSE = 8;
const HEAD = 2;
const LIMITS = { bytesMax: 1 << 24 };
const SHARED = { ...LIMITS, sharesParts: true };
const LEAVES_OUT = { ...LIMITS, onLeftOut: () => assert.fail("nothing is said") };
const library = new Packr({ useRecords: false, variableMapSize: true });
const reader = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" });

const times = (count, make) => Array.from({ length: count }, (_, index) => make(index));
const record = (count) => Object.fromEntries(times(count, (index) => [`key${index}`, index]));
const EDGES = [0, 1, 31, 32, 39, 40, 41, 255, 256, 65_535, 65_536];
const VALUES = {
  numbers: [0.5, -0.5, NaN, Infinity, -Infinity, 2 ** 53, -(2 ** 53), 1e300].concat(
    [7, 8, 15, 16, 31, 32].flatMap((bits) => [2 ** bits - 1, 2 ** bits, -(2 ** bits), -(2 ** bits) - 1]),
    [-1, -32, -33],
  ),
  texts: EDGES.map((length) => "x".repeat(length)),
  "texts beyond ASCII": EDGES.map((length) => `${"y".repeat(length)}é€😀`),
  "texts beyond ASCII only": EDGES.map((length) => "é".repeat(length)),
  bytes: EDGES.map((length) => Buffer.alloc(length, 7)),
  lists: [15, 16, 65_535, 65_536].map((length) => times(length, () => true)),
  records: [0, 15, 16, 65_535, 65_536].map(record),
  keys: times(50, (index) => ({ ["k".repeat(index)]: index, [`é${index}`]: index, [`long ${"k".repeat(300)}`]: 1 })),
};

for (const [name, value] of Object.entries(VALUES)) {
  test(`the same bytes as the library's, and the same values: ${name}`, () => {
    const packed = pack(value, LIMITS, "");
    assert.equal(packed[1], 0);
    assert.deepEqual(reader.unpack(packed.subarray(HEAD)), value);
    assert.ok(packed.subarray(HEAD).equals(library.pack(value)));
    assert.deepEqual(unpack(packed), value);
    assert.deepEqual(unpack(pack(value, SHARED, "")), value);
  });
}

const read = (...bytes) => unpack(Buffer.from([2, 0, ...bytes]));

test("forms that we do not write are read", () => {
  assert.equal(read(0xca, 0x3f, 0xc0, 0, 0), 1.5);
  assert.equal(read(0xcf, 0, 0, 0, 1, 0, 0, 0, 2), 2 ** 32 + 2);
  assert.equal(read(0xd3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe), -2);
  assert.equal(read(0xcd, 0, 5), 5);
  assert.deepEqual(read(0xdf, 0, 0, 0, 1, 0xd9, 1, 0x61, 0xdd, 0, 0, 0, 1, 0xda, 0, 1, 0x62), { a: ["b"] });
});

test("a key named __proto__ in a map is a key", () => {
  const key = Buffer.from("__proto__");
  const value = read(0x81, 0xa0 | key.length, ...key, 0x81, 0xa1, 0x61, 1);
  assert.deepEqual(Object.entries(value), [["__proto__", { a: 1 }]]);
  assert.equal(Object.getPrototypeOf(value), Object.prototype);
});

test("a length beyond the end is refused before anything is made for it", () => {
  const deep = times(100, () => [0xdd, 0x7f, 0xff, 0xff, 0xff]).flat();
  for (const bytes of [deep, [0xdf, 0xff, 0xff, 0xff, 0xff], [0xdb, 0xff, 0xff, 0xff, 0xff], [0xc6, 0x7f, 0, 0, 0]])
    assert.throws(() => read(...bytes), Unreadable);
});

test("records of which methods are left out have as many values as they say, with 15, 16 and no keys left", () => {
  const method = () => undefined;
  for (const limits of [LEAVES_OUT, { ...LEAVES_OUT, sharesParts: true }]) {
    for (const count of [0, 1, 14, 15, 16, 17]) {
      const left = record(count);
      const all = [
        { ...left, method },
        { method, ...left },
        { constructor: 1, ...left, method },
        ...times(40, (index) => ({ [`first${index}`]: index, ...left, method })),
      ];
      const back = unpack(pack([all, "behind"], limits, ""));
      assert.deepEqual(back[1], "behind");
      assert.deepEqual(back[0].slice(0, 2), [left, left]);
      assert.deepEqual(Object.entries(back[0][2]), Object.entries({ constructor: 1, ...left }));
      back[0].slice(3).forEach((one, index) => assert.deepEqual(one, { [`first${index}`]: index, ...left }));
    }
  }
});

test("collections that change while they are written, or say another size, are whole", () => {
  const map = new Map([
    [
      "first",
      {
        toJSON: () => {
          map.delete("second");
          return "made";
        },
      },
    ],
    ["second", 2],
  ]);
  class Many extends Set {
    *[Symbol.iterator]() {
      for (let index = 0; index < 20; index++) yield index;
    }
    get size() {
      return -1;
    }
  }
  for (const limits of [LIMITS, SHARED]) {
    const back = unpack(pack([map, new Many([1]), "behind"], limits, ""));
    assert.deepEqual(back.slice(0, 2), [new Map([["first", "made"]]), new Set(times(20, (index) => index))]);
    assert.equal(back[2], "behind");
    map.set("second", 2);
  }
  const once = {
    get first() {
      delete this.second;
      return 1;
    },
    second: 2,
    third: 3,
  };
  assert.deepEqual(unpack(pack([once, 4], LIMITS, "")), [{ first: 1, second: undefined, third: 3 }, 4]);
});

test("a list whose first value a toJSON makes null is a list", () => {
  const none = { toJSON: () => null };
  for (const length of [1, 13, 14, 15, 16]) {
    const list = [none, ...times(length - 1, () => 1)];
    assert.deepEqual(
      unpack(pack([list, list], LIMITS, "")),
      times(2, () => [null, ...list.slice(1)]),
    );
  }
});

test("a toJSON that packs by itself does not write into what is being written", () => {
  const nested = { toJSON: () => [...pack({ inner: "x".repeat(100) }, LIMITS, "")].length };
  assert.deepEqual(unpack(pack(["before", nested, nested, "after"], LIMITS, "")), ["before", 111, 111, "after"]);
});

test("places whose texts were all different for long, and then the same", () => {
  const rows = times(2_000, (index) => ({ id: `number ${index % 1_000}`, kind: index < 1_000 ? "some" : "more" }));
  assert.deepEqual(unpack(pack(rows, SHARED, "")), rows);
  const ill = times(10, () => ({ text: "half \ud800" }));
  assert.deepEqual(unpack(pack(ill, SHARED, "")), ill);
});

test("sockets: what their parts share is one value, and circles stay", async () => {
  const { Part } = await import("../dist/esm/data/limits.js");
  const team = { name: "team" };
  const auth = { team };
  auth.self = auth;
  const sockets = times(3, (index) => ({
    id: `socket ${index}`,
    rooms: [`socket ${index}`, "everybody"],
    handshake: new Part({ auth, query: { EIO: "4" } }, {}),
    data: new Part({ team, auth, index }, {}),
  }));
  const data = { requestId: "1", sockets };
  const message = encodeMessage(FETCH_SOCKETS_RESPONSE, "/", data, assert.fail, { sharesParts: true });
  const back = unpack(message).data.sockets;
  assert.deepEqual(back[2].rooms, ["socket 2", "everybody"]);
  assert.deepEqual(
    back.map(({ data }) => data.index),
    [0, 1, 2],
  );
  for (const socket of back) {
    assert.equal(socket.data.team, back[0].data.team);
    assert.equal(socket.handshake.auth, back[0].data.auth);
    assert.equal(socket.handshake.auth.self, socket.handshake.auth);
  }
});
