/** What app servers of one hub do together: over one node, over several, and while they come and go. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { serialize } from "node:v8";
import { pack } from "../dist/esm/data/pack.js";
import { connectClient, haveServers, startApp, startCluster, types, until } from "./support/app.js";

test("serverCount is one without a trunk, and follows those who come and go", async (t) => {
  const { apps, add } = await startCluster(t, { apps: 2, nodes: 2 });
  const [a] = apps;
  const count = () => a.io.of("/").adapter.serverCount();
  assert.equal(await count(), 2);
  const third = await add();
  assert.deepEqual([await count(), third.trunkline.stats.peers], [3, 2]);
  await third.trunkline.close();
  await haveServers(a.io, 2);
  await a.trunkline.close();
  assert.equal(await count(), 1);
  await haveServers(apps[1].io, 1);
});

for (const nodes of [1, 2]) {
  test(`fetchSockets and allSockets over ${nodes} node(s)`, async (t) => {
    const { apps } = await startCluster(t, { apps: 3, nodes });
    const sockets = [];
    for (const { io, trunks } of apps) {
      for (const [index, trunk] of trunks.entries()) sockets.push(await connectClient(io, trunk, index + 1));
    }
    const last = sockets.at(-1);
    last.join(["r", 7]);
    last.data = {
      user: "u",
      picture: Buffer.from([1, 2]),
      seen: new Set(["x"]),
      nothing: undefined,
      when: new Date(5),
    };
    const [{ io }] = apps;
    const all = await io.fetchSockets();
    assert.deepEqual(all.map(({ id }) => id).sort(), sockets.map(({ id }) => id).sort());
    const remote = all.find(({ id }) => id === last.id);
    assert.deepEqual(remote.data, last.data);
    assert.ok(Buffer.isBuffer(remote.data.picture) && "nothing" in remote.data);
    assert.deepEqual(
      [[...remote.rooms], remote.handshake.headers.host, remote.handshake.address],
      [[last.id, "r", 7], "chat.example", "203.0.113.7"],
    );
    assert.deepEqual(
      (await io.in("r").fetchSockets()).map(({ id }) => id),
      [last.id],
    );
    assert.deepEqual((await io.in(7).except("r").fetchSockets()).length, 0);
    assert.deepEqual((await io.local.fetchSockets()).length, nodes);
    assert.deepEqual([...(await io.allSockets())].sort(), sockets.map(({ id }) => id).sort());
    assert.deepEqual([...(await io.in("r").allSockets())], [last.id]);
  });
}

test("a client's query and data may have any keys: other app servers are told of them", async (t) => {
  const { apps } = await startCluster(t, { apps: 2 });
  const [{ io }, other] = apps;
  const url = "/socket.io/?EIO=4&transport=websocket&constructor=1&toJSON=1&hasOwnProperty=1";
  const socket = await connectClient(other.io, other.trunks[0], 1, { url });
  assert.equal(socket.handshake.query.toJSON, "1");
  socket.data = JSON.parse('{ "constructor": 1, "toJSON": 1, "__proto__": { "admin": true } }');
  const [remote] = await io.fetchSockets();
  assert.equal(remote.id, socket.id);
  assert.deepEqual([remote.handshake.query.constructor, remote.handshake.query.toJSON], ["1", "1"]);
  assert.deepEqual([Object.keys(remote.data), remote.data.admin], [["constructor", "toJSON", "__proto__"], undefined]);
});

test("many sockets go in several pieces", async (t) => {
  const { apps } = await startCluster(t, { apps: 2 });
  const [a, b] = apps;
  const socket = await connectClient(b.io, b.trunk, 1);
  socket.data.bulk = Buffer.alloc(3 * 1024 * 1024, 7);
  const [fetched] = await a.io.fetchSockets();
  assert.ok(fetched.data.bulk.equals(socket.data.bulk));
  assert.ok(types(b.trunk.frames).filter((type) => type === "Relay").length > 3);
});

test("what cannot be cloned is left out", async (t) => {
  const { apps } = await startCluster(t, { apps: 2 });
  const [a, b] = apps;
  const socket = await connectClient(b.io, b.trunk, 1);
  const circle = { f() {}, s: Symbol("s"), map: new Map([["k", () => 1]]), json: { toJSON: () => "as json" }, n: 1 };
  circle.self = circle;
  socket.data = circle;
  const [{ data }] = await a.io.fetchSockets();
  assert.deepEqual(
    [Object.keys(data).sort(), data.self === data, data.json, data.n],
    [["json", "map", "n", "s", "self"], true, "as json", 1],
  );
});

test("socketsJoin, socketsLeave and disconnectSockets reach the sockets of all app servers, at once those of this one", async (t) => {
  const { apps } = await startCluster(t, { apps: 2, nodes: 2 });
  const [a, b] = apps;
  const own = await connectClient(a.io, a.trunks[1], 1);
  const other = await connectClient(b.io, b.trunks[1], 1);
  a.io.socketsJoin(["r", "s"]);
  assert.deepEqual([...own.rooms], [own.id, "r", "s"]);
  await until(() => other.rooms.has("s"));
  a.io.in("s").socketsLeave("r");
  await until(() => !other.rooms.has("r"));
  assert.deepEqual(
    [[...own.rooms], [...other.rooms]],
    [
      [own.id, "s"],
      [other.id, "s"],
    ],
  );
  a.io.local.socketsJoin("here");
  const [remote] = await a.io.in(other.id).fetchSockets();
  remote.join("there");
  await until(() => other.rooms.has("there"));
  assert.ok(own.rooms.has("here") && !other.rooms.has("here") && !own.rooms.has("there"));
  const gone = once(other, "disconnect");
  a.io.disconnectSockets(true);
  assert.ok(own.disconnected);
  assert.equal((await gone)[0], "server namespace disconnect");
  assert.equal((await b.trunks[1].next("Close")).reason, 5);
});

test("serverSideEmit reaches the others with everything that can be cloned", async (t) => {
  const { apps } = await startCluster(t, { apps: 3, nodes: 2 });
  const heard = apps.map(() => []);
  for (const [index, { io }] of apps.entries()) io.on("news", (...args) => heard[index].push(args));
  const args = [1, "zwei", { three: new Set([3]) }, Buffer.from("4"), undefined, new Map([[6, 7n]])];
  apps[0].io.serverSideEmit("news", ...args);
  apps[0].io.serverSideEmit("news", "second");
  await until(() => heard[1].length === 2 && heard[2].length === 2);
  assert.deepEqual(heard, [[], [args, ["second"]], [args, ["second"]]]);
  assert.throws(() => apps[0].io.serverSideEmit("connection"), /reserved/);
});

test("serverSideEmitWithAck gathers answers; who answers twice counts once", async (t) => {
  const { apps } = await startCluster(t, { apps: 3 });
  for (const [index, { io }] of apps.entries()) {
    io.on("ask", (n, done) => {
      done({ from: index, n });
      done("again");
    });
  }
  const answers = await apps[0].io.serverSideEmitWithAck("ask", 5);
  assert.deepEqual(
    answers.sort((x, y) => x.from - y.from),
    [
      { from: 1, n: 5 },
      { from: 2, n: 5 },
    ],
  );
});

test("an app server that dies ends what waits for it, with what there is", async (t) => {
  const { apps } = await startCluster(t, { apps: 3 });
  const [a, b, c] = apps;
  await connectClient(b.io, b.trunk, 1);
  // It takes what is said to it and answers nothing.
  c.io.of("/").adapter.handleClusterMessage = () => undefined;
  b.io.on("ask", (done) => done("b"));
  const fetched = a.io.fetchSockets();
  const answers = a.io.serverSideEmitWithAck("ask");
  await a.trunk.settle();
  await c.trunk.settle();
  c.trunk.stream.terminate();
  assert.equal((await fetched).length, 1);
  assert.deepEqual(await answers, ["b"]);
});

test("our own trunk's end ends what waits, too", async (t) => {
  const { apps } = await startCluster(t, { apps: 2 });
  const [a, b] = apps;
  b.io.of("/").adapter.handleClusterMessage = () => undefined;
  const fetched = a.io.fetchSockets();
  a.trunk.stream.terminate();
  assert.deepEqual(await fetched, []);
  await haveServers(a.io, 2);
});

test("an app server that says nothing is waited for no longer than the time limit", async (t) => {
  const { apps } = await startCluster(t, { apps: 2 });
  const [a, b] = apps;
  b.io.of("/").adapter.handleClusterMessage = () => undefined;
  await assert.rejects(a.io.timeout(20).fetchSockets(), /timeout reached: missing 1 responses/);
});

test("what another app server says and nobody can read is a warning, once, and never an exception", async (t) => {
  const { trunk, warnings, io } = await startApp(t, { node: { relays: false } });
  trunk.send({ type: "Peers", servers: ["p1", "p2"] });
  await haveServers(io, 3);
  const whole = (value) => pack(value, { bytesMax: 1 << 20 }, "");
  const PAYLOADS = [
    Buffer.alloc(0),
    Buffer.of(0),
    // Of a release before this format: a whole message, and the first piece of one.
    Buffer.concat([Buffer.of(0), serialize({ type: 9, nsp: "/", data: { packet: ["fine"] } })]),
    Buffer.concat([
      Buffer.from([1, 0, 0, 0, 1, 0, 0, 0, 1]),
      serialize({ type: 9, nsp: "/", data: { packet: ["fine"] } }),
    ]),
    Buffer.from([2]),
    Buffer.from([2, 0, 0xc1]),
    Buffer.of(3),
    Buffer.from([3, 0, 0, 0, 1, 0, 1, 0, 2, 9]),
    Buffer.from([3, 0, 0, 0, 1, 0, 0, 0, 0, 9]),
    Buffer.of(77, 1, 2, 3),
    whole("text"),
    whole(null),
    whole({}),
    whole({ type: 3, nsp: "/", data: {} }),
    whole({ type: 3, nsp: "/", data: { opts: { rooms: [], except: [] }, parts: [5] } }),
    whole({ type: 4, nsp: "/", data: { opts: { rooms: [], except: 5 }, rooms: [] } }),
    whole({ type: 7, nsp: "/", data: { opts: { rooms: [], except: [] } } }),
    whole({ type: 9, nsp: "/", data: { packet: "x" } }),
    whole({ type: 8, nsp: "/", data: { requestId: "1", sockets: {} } }),
    whole({ type: 8, nsp: "/", data: { requestId: "nobody asked", sockets: [] } }),
    whole({ type: 200, nsp: "/", data: {} }),
  ];
  for (const payload of PAYLOADS) trunk.send({ type: "Relayed", from: "p1", payload });
  trunk.send({
    type: "Relayed",
    from: "stranger",
    payload: whole({ type: 3, nsp: "/", data: { opts: { rooms: [], except: [] }, requestId: "1", parts: ["bad"] } }),
  });
  await trunk.settle();
  assert.equal(warnings.filter((warning) => warning.includes("another app server (p1)")).length, 1);
  assert.equal(warnings.length, 2, String(warnings));
  io.on("fine", () => trunk.fine?.());
  const fine = new Promise((resolve) => (trunk.fine = resolve));
  trunk.send({ type: "Relayed", from: "p1", payload: whole({ type: 9, nsp: "/", data: { packet: ["fine"] } }) });
  await fine;
});

test("each peer is reached over one trunk, the first that lists it, in order; it keeps it until that trunk loses it", async (t) => {
  const { apps } = await startCluster(t, { apps: 2, nodes: 2 });
  const [a, b] = apps;
  const numbers = [];
  b.io.on("n", (n) => numbers.push(n));
  const relays = () => a.trunks.map((trunk) => types(trunk.frames).filter((type) => type === "Relay").length);
  for (let n = 0; n < 50; n++) a.io.serverSideEmit("n", n);
  await until(() => numbers.length === 50);
  assert.deepEqual(
    numbers,
    Array.from({ length: 50 }, (_, n) => n),
  );
  const used = relays().findIndex((count) => count > 0);
  assert.deepEqual(relays()[1 - used], 0);
  const before = await a.io.of("/").adapter.serverCount();
  a.trunks[used].stream.terminate();
  await once(a.trunkline, "disconnect");
  assert.deepEqual([before, await a.io.of("/").adapter.serverCount()], [2, 2], "the other trunk still lists it");
  a.io.serverSideEmit("n", 50);
  await until(() => numbers.length === 51);
  assert.equal(relays()[1 - used], 1);
});

test("a broadcast behind an operation on the sockets of others finds their rooms as the app left them", async (t) => {
  const { apps } = await startCluster(t, { apps: 2 });
  const [a, b] = apps;
  await connectClient(a.io, a.trunk, 1);
  const other = await connectClient(b.io, b.trunk, 1);
  await b.trunk.settle();
  b.trunk.frames.length = a.trunk.frames.length = 0;
  a.io.emit("before");
  a.io.socketsJoin("r");
  a.io.to("r").emit("x", Buffer.from("1"));
  a.io.in(other.id).disconnectSockets();
  a.io.volatile.emit("y");
  await b.trunk.next("Detach");
  await b.trunk.settle();
  await a.trunk.settle();
  const seen = (trunk) =>
    trunk.frames.filter(({ type }) => type !== "Relay").map(({ type, rooms, flags }) => [type, rooms, flags]);
  assert.deepEqual(seen(a.trunk), [
    ["Broadcast", [], 8],
    ["Join", ["r"], undefined],
    ["Broadcast", ["r"], 8 | 2],
    ["Broadcast", [], 8 | 2 | 1],
  ]);
  assert.deepEqual(seen(b.trunk), [
    ["Join", ["r"], undefined],
    ["Broadcast", ["r"], 8 | 2],
    ["Send", undefined, 8],
    ["Broadcast", [], 8 | 2 | 1],
  ]);
  // All is confirmed by now: one frame to the node does it again.
  a.trunk.frames.length = b.trunk.frames.length = 0;
  a.io.emit("z");
  await a.trunk.settle();
  assert.deepEqual([seen(a.trunk), seen(b.trunk)], [[["Broadcast", [], 8]], []]);
});
