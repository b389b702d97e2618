// What leaves the process as data: kept states, answers to fetchSockets, relays.
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { Socket as NetSocket } from "node:net";
import { test } from "node:test";
import { pack, unpack } from "../dist/esm/data/pack.js";
import { NotPlain } from "../dist/esm/data/not_plain.js";
import { Part } from "../dist/esm/data/limits.js";
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

/** As {@link copy}, for a message: what cannot go is left out. Returns what was said, too. */
function send(value, limits = {}) {
  const said = [];
  const onLeftOut = ({ message }) => said.push(message);
  return { sent: unpack(pack(value, { bytesMax: 64 << 20, valuesMax: 1 << 22, onLeftOut, ...limits }, "")), said };
}

class Room {
  players = [];
  toJSON() {
    calls++;
    return { players: [...this.players] };
  }
}
class Player {
  constructor(room, name) {
    Object.assign(this, { room, name });
    room.players.push(this);
  }
  toJSON() {
    calls++;
    return { name: this.name, room: this.room };
  }
}
let calls = 0;

test("objects that know their JSON and one another: each is asked once, and circles stay circles", () => {
  const room = new Room();
  for (let number = 0; number < 50; number++) new Player(room, `p${number}`);
  calls = 0;
  const { sent, said } = send({ player: room.players[0], again: room });
  assert.equal(calls, 51);
  assert.deepEqual(said, []);
  assert.equal(sent.again.players.length, 50);
  assert.ok(sent.player.room === sent.again && sent.again.players[0] === sent.player);
  assert.deepEqual(Object.keys(sent.again.players[49]), ["name", "room"]);
});

test("what a toJSON made is not asked again: `this` is its own properties, and what it made before is the same", () => {
  class Own {
    n = 1;
    toJSON() {
      return this;
    }
  }
  const made = { n: 2 };
  const { sent } = send({ own: new Own(), a: { toJSON: () => made }, b: { toJSON: () => made }, made });
  assert.deepEqual(sent, { own: { n: 1 }, a: { n: 2 }, b: { n: 2 }, made: { n: 2 } });
  assert.ok(sent.a === sent.made && sent.b === sent.made);
});

test("a toJSON that makes new objects without end costs no more than the bound", () => {
  let made = 0;
  class Doc {
    toJSON() {
      made++;
      return { a: new Doc(), b: new Doc() };
    }
  }
  assert.throws(() => send({ doc: new Doc() }, { valuesMax: 20_000 }), /^NotPlain: doc is more than 20000 values$/);
  assert.ok(made < 1_200, `${made} calls`);
  made = 0;
  const { sent, said } = send([new Part(new Doc(), {}), new Part({ n: 1 })]);
  assert.deepEqual(sent, [{}, { n: 1 }]);
  assert.ok(made < 100_000, `${made} calls`);
  assert.equal(said.length, 2);
  assert.match(said[0], /is more than 100 levels deep$/);
  assert.equal(said[1], "[0] has more values or bytes than fit into a message beside the rest");
  made = 0;
  send(Array.from({ length: 100 }, () => new Part(new Doc())));
  assert.ok(made < 200_000, `${made} calls for all of them together`);
});

test("a list that is longer than the bound is not walked", () => {
  let looked = 0;
  const endless = new Proxy([], {
    get: (target, key) => {
      if (key === "length") return 2 ** 32 - 1;
      looked++;
      return target[key];
    },
  });
  assert.throws(() => send({ endless }), NotPlain);
  assert.throws(() => copy({ endless }), NotPlain);
  assert.ok(looked < 10, `${looked}`);
});

test("so much that cannot go is left out with one word, and bounded", () => {
  const socket = new NetSocket();
  const { sent, said } = send({ list: Array.from({ length: 3_000 }, () => socket), n: 1 });
  assert.equal(sent.list.length, 3_000);
  assert.deepEqual(said, ["list[0] is a Socket, which is alive and not data"]);
  let looked = 0;
  const alive = {
    on() {},
    get emit() {
      looked++;
      return () => undefined;
    },
  };
  const { sent: rest } = send([new Part(Array.from({ length: 200_000 }, () => alive)), 1]);
  assert.deepEqual(rest, [undefined, 1]);
  assert.ok(looked < 70_000, `${looked} were looked at`);
});

test("what throws when it is looked at is left out by itself", () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  class Box extends Number {
    valueOf() {
      return new Box(1);
    }
  }
  const error = new Error("x");
  Object.defineProperty(error, "message", { value: Object.create(null) });
  class Names {
    static name = Object.create(null);
    on() {}
    emit() {}
  }
  const broken = new Proxy([1, 2], { get: (list, key) => (key === "1" ? JSON.parse("{") : list[key]) });
  for (const [name, value] of Object.entries({ proxy, box: new Box(1), error, names: new Names(), broken })) {
    const shared = { n: 1 };
    const { sent, said } = send({ before: shared, inner: [value], after: shared });
    assert.deepEqual(sent, { before: { n: 1 }, inner: [undefined], after: { n: 1 } }, name);
    assert.ok(sent.before === sent.after);
    assert.equal(said.length, 1, name);
  }
});

test("a part that is too much is left out as a whole, and nothing refers into it", () => {
  const shared = { n: 1 };
  const { sent, said } = send(
    [new Part([{ shared }, "x".repeat(2_000)], {}), new Part({ shared }), new Part("y".repeat(2_000)), [shared]],
    { bytesMax: 1_000 },
  );
  assert.deepEqual(sent, [{}, { shared: { n: 1 } }, undefined, [{ n: 1 }]]);
  assert.ok(sent[1].shared === sent[3][0]);
  assert.deepEqual(said, ["[0] has more values or bytes than fit into a message beside the rest"]);
  assert.deepEqual(send([new Part({ n: 1 }, { n: 2 }), 3], { withoutParts: true }).sent, [{ n: 2 }, 3]);
});

test("thousands of places of one list are one kind", () => {
  const kinds = new Set();
  pack(
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

/** Data of one socket that cannot go, whatever is done about it. */
const BAD_DATA = {
  "too long": () => ({ text: "x".repeat(70 << 20) }),
  "longer as bytes than as characters": () => ({ text: "\u4e00".repeat(30 << 20) }),
  "a list of holes": () => {
    const list = [];
    list.length = 2 ** 32 - 1;
    return { list };
  },
};
for (const [name, make] of Object.entries(BAD_DATA)) {
  test(`fetchSockets: one socket's data that is ${name} does not keep the others from the caller`, async (t) => {
    const { apps } = await startCluster(t, { apps: 2 });
    const [a, b] = apps;
    const [bad, good] = [await connectClient(b.io, b.trunk, 1), await connectClient(b.io, b.trunk, 2)];
    bad.data = make();
    good.data = { name: "ada" };
    // Any other time limit could be the one that passes.
    const fetched = await a.io.timeout(2 ** 30).fetchSockets();
    assert.deepEqual(fetched.map(({ id }) => id).sort(), [bad.id, good.id].sort());
    assert.deepEqual(fetched.find(({ id }) => id === bad.id).data, {});
    assert.equal(b.warnings.length, 1, b.warnings.join("\n"));
  });
}

test("a question that is too long fails at once, and an answer that is too long is an empty one", async (t) => {
  const { apps } = await startCluster(t, { apps: 2 });
  const [a, b] = apps;
  const heard = [];
  a.io.serverSideEmit("news", "x".repeat(70 << 20), (error, answers) => heard.push([error?.message, answers]));
  await a.trunk.settle();
  assert.deepEqual(heard, [["timeout reached: missing 1 responses", []]]);
  b.io.on("ask", (answer) => answer("x".repeat(70 << 20)));
  const answered = new Promise((resolve) => a.io.serverSideEmit("ask", (error, answers) => resolve([error, answers])));
  assert.deepEqual(await answered, [null, [undefined]]);
  assert.ok(b.warnings.some((warning) => warning.includes("left out of a message to other app servers")));
});
