// What leaves the process as data: kept states, answers to fetchSockets, relays.
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { Socket as NetSocket } from "node:net";
import { test } from "node:test";
import { pack, unpack } from "../dist/esm/data/pack.js";
import { NotPlain, toWire } from "../dist/esm/data/plain.js";
import { connectClient, startApp, startCluster, until } from "./support/app.js";

const LIMITS = { bytesMax: 1 << 20 };
const copy = (value, limits = LIMITS) => unpack(pack(value, limits, "data"));

test("values survive: the same text, numbers, dates, collections, bytes, circles", () => {
  class User {
    name = "ada";
    greet() {}
  }
  const value = {
    text: "t",
    number: 1.5,
    none: null,
    nothing: undefined,
    big: 7n,
    nan: NaN,
    date: new Date(5),
    regexp: /a/gi,
    buffer: Buffer.from("b"),
    floats: new Float64Array([1.5]),
    raw: new Uint8Array([1]).buffer,
    map: new Map([["k", { deep: new Set([1, "2"]) }]]),
    list: [1, [2, , 3]],
    boxed: Object("x"),
    user: new User(),
    json: { toJSON: () => ({ as: "json" }) },
    get computed() {
      return { by: "a getter" };
    },
  };
  value.self = value;
  const plain = copy(value);
  assert.ok(plain !== value && plain.self === plain);
  const { self, boxed, user, json, computed, ...rest } = plain;
  const { self: _self, boxed: _boxed, user: _user, json: _json, computed: _computed, ...same } = value;
  assert.deepEqual(rest, { ...same, list: [1, [2, undefined, 3]] });
  assert.deepEqual([boxed, user, json, computed], ["x", { name: "ada" }, { as: "json" }, { by: "a getter" }]);
  assert.equal(Object.getPrototypeOf(user), Object.prototype);
});

test("a key named __proto__ is a key, and an error is its words", () => {
  const plain = copy({
    evil: JSON.parse('{"__proto__":{"admin":true}}'),
    error: Object.assign(new TypeError("no", { cause: new NetSocket() }), { socket: new NetSocket() }),
  });
  assert.equal(plain.evil.admin, undefined);
  assert.deepEqual(
    [plain.error.name, plain.error.message, plain.error.cause, plain.error.socket],
    ["TypeError", "no", undefined, undefined],
  );
});

const deep = (levels) => (levels === 0 ? 1 : { in: deep(levels - 1) });
const ALIVE = {
  "an emitter": [
    () => ({ user: { events: new EventEmitter() } }),
    /^data\.user\.events is a EventEmitter, which is alive/,
  ],
  "a stream": [() => ({ list: [1, new NetSocket()] }), /^data\.list\[1\] is a Socket/],
  "a timer": [() => ({ timer: setTimeout(() => undefined, 0) }), /^data\.timer is a Timeout/],
  "a promise": [() => ({ later: Promise.resolve() }), /^data\.later is a Promise/],
  "a weak map": [() => ({ weak: new WeakMap() }), /^data\.weak/],
  "a function": [() => ({ user: { f() {} } }), /^data\.user\.f is a function/],
  "a symbol": [() => ({ s: Symbol("s") }), /^data\.s is a symbol/],
  "behind a getter": [
    () => ({
      get hidden() {
        return new NetSocket();
      },
    }),
    /^data\.hidden is a Socket/,
  ],
  "behind a class": [
    () => ({
      player: new (class Player {
        link = new NetSocket();
      })(),
    }),
    /^data\.player\.link is a Socket/,
  ],
  "in a map": [() => ({ map: new Map([["k", new NetSocket()]]) }), /^data\.map\.get\("k"\) is a Socket/],
  "behind toJSON": [() => ({ json: { toJSON: () => ({ s: new NetSocket() }) } }), /^data\.json\.s is a Socket/],
  "a getter that throws": [
    () => ({
      get broken() {
        throw new Error("x");
      },
    }),
    /^data\.broken cannot be read/,
  ],
  "too deep": [() => deep(200), /more than 100 levels deep$/],
  "too much text": [() => ({ a: ["x".repeat(600_000), "y".repeat(600_000)] }), /^data is more than 1048576 bytes$/],
  "too many bytes": [() => Buffer.alloc(2 << 20), /^data is more than/],
};
for (const [name, [make, message]] of Object.entries(ALIVE)) {
  test(`not kept, with a word that names the place: ${name}`, () => {
    assert.throws(
      () => copy(make()),
      (error) => error instanceof NotPlain && (assert.match(error.message, message), true),
    );
  });
}

test("the walk ends at the bound: an endless structure costs no more than the bound", () => {
  let made = 0;
  const endless = () => ({
    pad: "x".repeat(1000),
    get next() {
      made++;
      return endless();
    },
    get other() {
      return endless();
    },
  });
  assert.throws(() => copy(endless()), NotPlain);
  assert.ok(made < 2_000, `${made}`);
});

test("thousands of places of one list are one kind", () => {
  const kinds = new Set();
  toWire(
    { list: Array.from({ length: 1000 }, () => new NetSocket()) },
    { bytesMax: 1 << 20, onLeftOut: ({ kind }) => kinds.add(kind) },
    "",
  );
  assert.deepEqual([...kinds], ["list[] is a Socket, which is alive and not data"]);
});

test("a socket in `data`: nothing of it is kept, one word for thirty clients, and a client with data beside them is", async (t) => {
  const { io, trunk, warnings } = await startApp(t, { io: { connectionStateRecovery: {} } });
  for (let session = 1; session <= 30; session++) {
    const socket = await connectClient(io, trunk, session);
    socket.data.user = { name: "ada", socket };
  }
  const last = await connectClient(io, trunk, 31);
  last.data.user = { name: "ada", tags: new Set(["x"]) };
  for (let session = 1; session <= 31; session++) trunk.send({ type: "Close", session, reason: 1, description: "" });
  const persist = await trunk.next("Persist");
  await until(() => io.sockets.sockets.size === 0);
  await trunk.settle();
  assert.equal(persist.session, 31);
  assert.deepEqual(unpack(persist.data).data, { user: { name: "ada", tags: new Set(["x"]) } });
  assert.ok(!trunk.frames.some(({ type }) => type === "Persist"), "the others' sockets were kept");
  const said = warnings.filter((warning) => warning.includes("not kept"));
  assert.equal(said.length, 1);
  assert.match(said[0], /namespace \/ .*comes back as a new one: data\.user\.socket is a Socket, which is alive/);
});

test("fetchSockets and serverSideEmit: what is alive is left out and said once, the rest arrives", async (t) => {
  const { apps } = await startCluster(t, { apps: 2 });
  const [a, b] = apps;
  const socket = await connectClient(b.io, b.trunk, 1);
  socket.data = {
    name: "ada",
    socket,
    server: b.io,
    trunkline: b.trunkline,
    inner: { timer: setTimeout(() => undefined, 0), n: 1 },
  };
  for (let round = 0; round < 2; round++) {
    const [fetched] = await a.io.fetchSockets();
    assert.deepEqual(fetched.data, {
      name: "ada",
      socket: undefined,
      server: undefined,
      trunkline: undefined,
      inner: { timer: undefined, n: 1 },
    });
  }
  const left = b.warnings.filter((warning) => warning.includes("left out"));
  assert.equal(left.length, 4, left.join("\n"));
  assert.match(left[0], /data\.sockets\[0\]\.data\.socket is a Socket/);
  const heard = once(b.io, "news");
  a.io.serverSideEmit("news", { io: a.io, n: 2 });
  assert.deepEqual((await heard)[0], { io: undefined, n: 2 });
});

test("a message to other app servers that is too long is not built, and the process lives", async (t) => {
  const { apps } = await startCluster(t, { apps: 2 });
  const [a] = apps;
  a.io.serverSideEmit(
    "news",
    Array.from({ length: 100 }, () => "x".repeat(1 << 20)),
  );
  await until(() => a.warnings.some((warning) => /was not sent: data is more than/.test(warning)));
});
