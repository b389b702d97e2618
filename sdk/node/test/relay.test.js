// What app servers tell one another as bytes: the vectors of `spec/vectors/relay.json` both ways, what must not be
// taken, and noise.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { readMessage } from "../dist/esm/cluster/messages.js";
import { Assembler, encodeMessage, toPayloads } from "../dist/esm/cluster/payload.js";
import { pack, unpack } from "../dist/esm/data/pack.js";
import { Unreadable } from "../dist/esm/data/unreadable.js";
import { connectClient, haveServers, startApp } from "./support/app.js";
import { build, describe } from "./support/described.js";

const { values, shared, messages, invalid } = JSON.parse(
  readFileSync(new URL("../../../spec/vectors/relay.json", import.meta.url), "utf8"),
);
const LIMITS = { bytesMax: 1 << 20 };
const SHARED = { ...LIMITS, sharesParts: true };
const bytes = (hex) => Buffer.from(hex, "hex");

test("the vectors are there", () =>
  assert.ok(values.length > 20 && shared.length > 3 && messages.length > 15 && invalid.length > 20));

for (const { name, value, hex } of values) {
  test(`a value, both ways: ${name}`, () => {
    assert.equal(pack(build(value), LIMITS, "").toString("hex"), hex);
    assert.deepEqual(describe(unpack(bytes(hex))), value);
  });
}

for (const { name, value, hex } of shared) {
  test(`a value in form 2, both ways: ${name}`, () => {
    assert.equal(pack(build(value), SHARED, "").toString("hex"), hex);
    assert.deepEqual(describe(unpack(bytes(hex))), value);
  });
}

test("every value is the same in form 2, alone and beside the others, with circles and what is left out", () => {
  const all = values.map(({ value }) => build(value));
  for (const value of [...all, all, [all, all]])
    assert.deepEqual(describe(unpack(pack(value, SHARED, ""))), describe(unpack(pack(value, LIMITS, ""))));
  const circle = { name: "a circle", list: [{ name: "a circle" }, { name: "a circle" }] };
  circle.list.push(circle, circle.list[0]);
  const back = unpack(pack([circle, { none: 1, say() {}, last: 2 }], { ...SHARED, onLeftOut: assert.fail }, ""));
  assert.ok(back[0].list[2] === back[0] && back[0].list[3] === back[0].list[0]);
  assert.deepEqual([back[0].list[1], back[1]], [{ name: "a circle" }, { none: 1, last: 2 }]);
});

test("what many records share is written once, and records without end of shapes are written all the same", () => {
  const agent = "Mozilla/5.0 (a long name of a browser)";
  const many = Array.from({ length: 1_000 }, (_, id) => ({ id, headers: { host: "chat.example", agent } }));
  const packed = pack(many, SHARED, "");
  assert.ok(packed.length < 20_000, `${packed.length} bytes`);
  assert.equal(packed.toString("latin1").split(agent).length - 1, 3, "twice in its place, then once in the table");
  assert.deepEqual(unpack(packed), many);
  const unlike = Array.from({ length: 1_000 }, (_, index) => ({ a: 1, [`key-${index}`]: index }));
  assert.deepEqual(unpack(pack(unlike, SHARED, "")), unlike);
});

for (const { name, message, hex } of messages) {
  test(`a message, both ways: ${name}`, () => {
    const { type, nsp, data } = message;
    assert.equal(encodeMessage(type, nsp, build(data), assert.fail).toString("hex"), hex);
    assert.deepEqual(describe(unpack(bytes(hex))), message);
  });
}

for (const { name, hex } of invalid)
  test(`not taken: ${name}`, () => assert.throws(() => unpack(bytes(hex)), Unreadable));

const NAMES = [...Object.getOwnPropertyNames(Object.prototype), "toJSON", "then", "length", "name", "prototype"];

for (const name of NAMES) {
  test(`a client may call a key "${name}"`, () => {
    for (const inner of [1, "x", null, { [name]: 1 }, [1]]) {
      const value = Object.fromEntries([
        ["a", 0],
        [name, inner],
        ["constructor", 1],
        ["toJSON", 1],
        ["z", [inner]],
      ]);
      assert.deepEqual(describe(unpack(pack(value, LIMITS, "data"))), describe(value));
    }
  });
}

test("whatever throws while it is written, it is said as what cannot be written", () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const iterates = new (class extends Map {
    [Symbol.iterator]() {
      throw new RangeError("never");
    }
  })([[1, 2]]);
  const says = Object.assign(new Error("x"), { message: Object.create(null) });
  for (const value of [proxy, iterates, says, { deep: [proxy] }, { toJSON: () => ({ list: [], bad: proxy }) }]) {
    assert.throws(() => pack(value, LIMITS, "data"), { name: "NotPlain" });
  }
});

test("what is left out leaves nothing that others refer to", () => {
  const shared = { kept: true };
  const half = { toJSON: () => [[], [], new Proxy({}, { ownKeys: () => assert.fail("no keys") })] };
  const left = [];
  const back = unpack(pack([half, shared, shared], { bytesMax: 1 << 20, onLeftOut: (one) => left.push(one) }, "data"));
  assert.equal(left.length, 1);
  assert.deepEqual(back[1], shared);
  assert.equal(back[2], back[1]);
});

test("a reference counts as a value, and so does each value that is tagged", () => {
  const shared = {};
  assert.throws(() => pack(Array(200_000).fill(shared), LIMITS, "data"), { name: "NotPlain" });
  const many = Array(120_000).fill(undefined);
  assert.deepEqual(unpack(pack(many, LIMITS, "data")), many);
});

test("all in one: what is kept is the same behind it, and of its own", () => {
  const all = values.map(({ value }) => build(value));
  const back = unpack(pack(all, LIMITS, ""));
  assert.deepEqual(
    back.map(describe),
    values.map(({ value }) => value),
  );
  const circle = { list: [] };
  circle.list.push(circle, circle.list);
  const copy = unpack(pack([circle, circle], LIMITS, ""));
  assert.ok(
    copy[0] === copy[1] && copy[0] !== circle && copy[0].list[0] === copy[0] && copy[0].list[1] === copy[0].list,
  );
});

test("bytes that were read hold no other memory", () => {
  const packed = pack({ buffer: Buffer.alloc(10, 1), floats: new Float64Array([1]) }, LIMITS, "");
  const batch = Buffer.concat([Buffer.alloc(1 << 16), packed]);
  const { buffer, floats } = unpack(batch.subarray(1 << 16));
  batch.fill(9);
  assert.deepEqual([buffer, [...floats]], [Buffer.alloc(10, 1), [1]]);
  assert.ok(Buffer.isBuffer(buffer) && buffer.buffer.byteLength < 1 << 16);
});

test("lists, maps and sets of a million items", () => {
  const items = Array.from({ length: 1_000_000 }, (_, index) => index);
  const large = { list: [null, ...items], map: new Map(items.map((item) => [item, item])), set: new Set(items) };
  assert.deepEqual(unpack(pack(large, { bytesMax: 1 << 26 }, "")), large);
});

test("a message in pieces is the same one; a whole one begins with another byte", () => {
  const message = encodeMessage(9, "/", { packet: ["x", "y".repeat(10_000)] }, assert.fail);
  const payloads = toPayloads(message, 1_000, 7);
  assert.deepEqual([...new Set(payloads.map(([kind]) => kind))], [3]);
  assert.ok(payloads.length > 10 && payloads.every(({ length }) => length <= 1_000));
  const assembler = new Assembler();
  const read = payloads.map((payload) => assembler.add(payload)).filter((whole) => whole !== undefined);
  assert.deepEqual(read, [unpack(message)]);
  assert.deepEqual([toPayloads(message, 20_000, 8), message[0]], [[message], 2]);
});

/** Mulberry32: the same noise in each run. */
function noise(seed) {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function spoiled(random, hex) {
  const copy = bytes(hex);
  const changes = 1 + random(4);
  for (let change = 0; change < changes; change++)
    copy[random(3) === 0 ? random(copy.length) : 1 + random(copy.length - 1)] = random(256);
  return random(4) === 0 ? copy.subarray(0, random(copy.length)) : copy;
}

test("noise is read or refused in one way, and costs no more memory than its bytes are worth", () => {
  const random = noise(1);
  const all = [...values, ...shared, ...shared, ...messages];
  let read = 0;
  const before = process.memoryUsage().rss;
  for (let round = 0; round < 30_000; round++) {
    try {
      unpack(spoiled(random, all[random(all.length)].hex));
      read++;
    } catch (error) {
      assert.ok(error instanceof Unreadable, error.stack);
    }
  }
  assert.ok(read > 1_000, `${read} of 30000 are still readable`);
  assert.ok(process.memoryUsage().rss - before < 512 << 20);
});

/** A value of any kind, where another is expected. */
function anything(random, depth = 0) {
  const inner = () => anything(random, depth + 1);
  const all = [
    () => undefined,
    () => null,
    () => random(3) - 1,
    () => NaN,
    () => "text",
    () => "\0n7",
    () => "\0o?",
    () => "__proto__",
    () => true,
    () => BigInt(random(9)),
    () => Buffer.from("b"),
    () => new Date(5),
    () => [inner(), inner()],
    () => ({ rooms: inner(), id: inner(), flags: inner() }),
    () => new Map([[inner(), inner()]]),
    () => new Set([inner()]),
    () => [],
  ];
  return all[random(depth > 3 ? 11 : all.length)]();
}

for (const [what, data] of [
  ["a socket whose id is no text", { sockets: [{ id: 1, rooms: [], handshake: {}, data: {} }] }],
  ["a socket with a room that is no text", { sockets: [{ id: "a", rooms: [1], handshake: {}, data: {} }] }],
  ["a socket whose rooms are no list", { sockets: [{ id: "a", rooms: "r", handshake: {}, data: {} }] }],
  ["a socket without a handshake", { sockets: [{ id: "a", rooms: [], data: {} }] }],
  ["a socket whose handshake is a list", { sockets: [{ id: "a", rooms: [], handshake: [], data: {} }] }],
  ["a flag that is no boolean", { opts: { rooms: [], except: [], flags: { volatile: 1 } } }],
  ["a time limit that is no number", { opts: { rooms: [], except: [], flags: { timeout: "5" } } }],
  ["flags that are a list", { opts: { rooms: [], except: [], flags: [] } }],
  ["a room of a broadcast that is no text", { opts: { rooms: [7], except: [] } }],
  ["a form that is no number", { form: "2" }],
]) {
  test(`no message: ${what}`, () => {
    const sound = {
      requestId: "1",
      opts: { rooms: ["r"], except: [], flags: { volatile: true, timeout: 5, later: "x" } },
      sockets: [{ id: "a", rooms: ["r"], handshake: {}, data: null }],
      form: 2,
    };
    for (const type of [7, 8]) {
      assert.notEqual(readMessage({ type, nsp: "/", data: sound }, "p"), undefined);
      assert.equal(readMessage({ type, nsp: "/", data: { ...sound, ...data } }, "p"), undefined);
    }
  });
}

test("sockets are told of in form 2 to those who have said that they read it, and to nobody else", async (t) => {
  const { trunk, io } = await startApp(t);
  const socket = await connectClient(io, trunk, 1);
  trunk.send({ type: "Peers", servers: ["p1"] });
  await haveServers(io, 2);
  const opts = { rooms: [], except: [] };
  const told = [];
  for (const form of [undefined, 1, 2, 3]) {
    const payload = encodeMessage(7, "/", { opts, requestId: "q", ...(form && { form }) }, assert.fail);
    trunk.send({ type: "Relayed", from: "p1", payload });
    const answer = (await trunk.next("Relay")).payload;
    told.push([form, answer[1]]);
    assert.deepEqual(unpack(answer).data.sockets[0].handshake, JSON.parse(JSON.stringify(socket.handshake)));
  }
  assert.deepEqual(told, [
    [undefined, 0],
    [1, 0],
    [2, 2],
    [3, 2],
  ]);
});

test("messages with anything in their fields: nothing is thrown, and the app server lives", async (t) => {
  const { trunk, warnings, io } = await startApp(t, { node: { relays: false, welcome: { credit: 1 << 28 } } });
  await connectClient(io, trunk, 1);
  trunk.send({ type: "Peers", servers: ["p1"] });
  await haveServers(io, 2);
  const random = noise(2);
  const FIELDS = [
    "requestId",
    "opts",
    "rooms",
    "close",
    "packet",
    "parts",
    "offset",
    "everybody",
    "sockets",
    "clientCount",
    "on",
    "socket",
    "form",
  ];
  for (let round = 0; round < 6_000; round++) {
    const { message } = messages[random(messages.length)];
    const data = build(message.data);
    for (let change = random(3); change > 0; change--) data[FIELDS[random(FIELDS.length)]] = anything(random);
    if (random(2) === 0 && typeof data.opts === "object" && data.opts !== null)
      data.opts = { ...data.opts, [["rooms", "except", "flags"][random(3)]]: anything(random) };
    const payload = pack(
      { type: random(9) === 0 ? random(110) : message.type, nsp: "/", data },
      { ...LIMITS, onLeftOut: () => undefined },
      "",
    );
    trunk.send({ type: "Relayed", from: "p1", payload });
    if (round % 500 === 0) await trunk.settle();
  }
  await trunk.settle();
  const about = warnings.filter((warning) => !warning.includes("a packet of another app server"));
  assert.equal(about.length, 1, about.join("\n"));
  const heard = once(io, "fine");
  trunk.send({ type: "Relayed", from: "p1", payload: encodeMessage(9, "/", { packet: ["fine", 1] }, assert.fail) });
  assert.deepEqual(await heard, [1]);
});
