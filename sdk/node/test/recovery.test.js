import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { serialize } from "node:v8";
import { pack } from "../dist/esm/data/pack.js";
import { Server } from "socket.io";
import { io as connect } from "socket.io-client";
import { useTrunkline } from "../dist/esm/index.js";
import { connectClient, startApp, startCluster, types, until } from "./support/app.js";
import { FakeNode } from "./support/fake-node.js";

const RECOVERY = { io: { connectionStateRecovery: {} } };
const text = (parts) => parts.map(({ data }) => data.toString());

test("events are recorded with an offset; what is volatile or waits for an answer is not", async (t) => {
  const { io, trunk } = await startApp(t, RECOVERY);
  const socket = await connectClient(io, trunk, 1);
  socket.emit("x", { n: 1 }, Buffer.from("b"));
  io.to("r").emit("y");
  io.local.emit("z");
  io.volatile.emit("v");
  socket.emit("a", () => undefined);
  await trunk.settle();
  const sent = trunk.frames.filter(({ parts }) => parts);
  assert.deepEqual(
    sent.map(({ type, rooms, flags }) => [type, rooms, flags]),
    [
      ["Recorded", [socket.id], 8],
      ["Recorded", ["r"], 8],
      ["Recorded", [], 8 | 2],
      ["Broadcast", [], 8 | 1],
      ["Broadcast", [socket.id], 8],
    ],
  );
  const offsets = sent.slice(0, 3).map(({ offset }) => offset);
  assert.equal(new Set(offsets).size, 3);
  assert.deepEqual(text(sent[0].parts), [`51-["x",{"n":1},{"_placeholder":true,"num":0},"${offsets[0]}"]`, "b"]);
  assert.deepEqual(text(sent[1].parts), [`2["y","${offsets[1]}"]`]);
  assert.match(text(sent.slice(3).flatMap(({ parts }) => parts)).join(), /^2\["v"\],2\d+\["a"\]$/);
});

const ENDS = [
  [
    "the client's stream ended",
    (socket, trunk) => trunk.send({ type: "Close", session: 1, reason: 1, description: "" }),
    ["Persist", "Close"],
  ],
  [
    "the client did not answer pings",
    (socket, trunk) => trunk.send({ type: "Close", session: 1, reason: 3, description: "" }),
    ["Persist", "Close"],
  ],
  ["conn.close()", (socket) => socket.conn.close(), ["Detach", "Persist", "Broadcast", "Close"]],
  ["disconnect()", (socket) => socket.disconnect(), ["Send", "Detach", "Broadcast"]],
  ["a disconnect packet", (socket, trunk) => trunk.text(1, "1"), ["Detach", "Broadcast"]],
];
for (const [name, end, frames] of ENDS) {
  test(`${name}: ${frames.join(", ")}`, async (t) => {
    const { io, trunk } = await startApp(t, RECOVERY);
    const socket = await connectClient(io, trunk, 1, { transport: 2 });
    socket.join(["r", 5]);
    socket.data = { user: new Set(["u"]) };
    await trunk.settle();
    trunk.frames.length = 0;
    const disconnected = new Promise((resolve) => {
      socket.on("disconnect", () => {
        // Legal in a handler, and for the others only.
        socket.join("late");
        socket.emit("late");
        if (frames.includes("Broadcast")) io.volatile.emit("left");
        resolve();
      });
    });
    end(socket, trunk);
    await disconnected;
    await trunk.settle();
    const seen = trunk.frames.filter(({ type }) => type !== "Recorded");
    assert.deepEqual(types(seen), frames);
    const persist = seen.find(({ type }) => type === "Persist");
    if (persist === undefined) return;
    assert.deepEqual(
      [persist.session, persist.pid, persist.socket, persist.rooms],
      [1, socket.pid, socket.id, [socket.id, "r", "\0n5"]],
    );
  });
}

for (const [close, end] of [
  ["paced", []],
  ["at once", ["Close"]],
]) {
  test(`\`io.close()\` persists the sockets, then leaves: ${close}`, async (t) => {
    const { io, trunk } = await startApp(t, { ...RECOVERY, options: { close } });
    await connectClient(io, trunk, 1);
    io.close();
    await trunk.closed;
    const tail = types(trunk.frames).filter((type) => ["Persist", "Close"].includes(type));
    assert.deepEqual(tail, ["Persist", ...end]);
  });
}

/** Disconnects the client of session 1 and gives what the node was told of it. */
async function lose(io, trunk, prepare = () => undefined) {
  const socket = await connectClient(io, trunk, 1);
  prepare(socket);
  trunk.send({ type: "Close", session: 1, reason: 1, description: "" });
  return { socket, persist: await trunk.next("Persist") };
}

const CUT = [
  { server: "P", high: 0, low: 17 },
  { server: "Q", high: 1, low: 4 },
];
const NOTHING = {
  type: "RestoredAt",
  found: 0,
  socket: "",
  rooms: [],
  data: Buffer.alloc(0),
  missed: [],
  log: "",
  last: "",
  cut: [],
};

function restored(requestId, { socket, rooms, data }, missed = []) {
  return {
    type: "RestoredAt",
    requestId,
    found: 1,
    socket,
    rooms,
    data,
    missed: missed.map((parts) => ({ parts })),
    log: "log-1",
    last: "off-3",
    cut: CUT,
  };
}

const part = (data) => (typeof data === "string" ? { kind: 0, data: Buffer.from(data) } : { kind: 1, data });

for (const skipMiddlewares of [true, false]) {
  test(`a client that comes back has its id, rooms, data and what it missed; skipMiddlewares: ${skipMiddlewares}`, async (t) => {
    const { io, trunk } = await startApp(t, { io: { connectionStateRecovery: { skipMiddlewares } } });
    let ran = 0;
    io.use((_socket, next) => (ran++, next()));
    const { socket, persist } = await lose(io, trunk, (each) => {
      each.join(["r", 5]);
      each.data = { user: Buffer.from("u"), seen: new Set([1]) };
    });
    await trunk.settle();
    trunk.frames.length = 0;
    const again = once(io, "connection");
    trunk.open(2);
    trunk.text(2, `0${JSON.stringify({ pid: socket.pid, offset: "off-1" })}`);
    const restore = await trunk.next("Restore");
    assert.deepEqual([restore.pid, restore.offset, restore.nsp], [socket.pid, "off-1", 0]);
    trunk.send(
      restored(restore.requestId, persist, [
        [part('2["m",1,"off-2"]')],
        [part('51-["p",{"_placeholder":true,"num":0},"off-3"]'), part(Buffer.from("bin"))],
      ]),
    );
    const [back] = await again;
    assert.deepEqual(
      [back.recovered, back.id, back.pid, [...back.rooms], back.data],
      [true, socket.id, socket.pid, [socket.id, "r", 5], socket.data],
    );
    assert.equal(ran, skipMiddlewares ? 1 : 2);
    await trunk.settle();
    const frames = trunk.frames.filter(({ type }) => type !== "Accept" && type !== "Pong");
    assert.deepEqual(types(frames), ["Send", "Send", "Send", "Reattach", "Send"]);
    assert.deepEqual(
      trunk.proves.map(({ session, cut }) => [session, cut]),
      [[2, CUT]],
    );
    assert.deepEqual(
      frames.map(({ payload }) => payload?.toString()),
      [
        '2["m",1,"off-2"]',
        '51-["p",{"_placeholder":true,"num":0},"off-3"]',
        "bin",
        undefined,
        `0${JSON.stringify({ sid: socket.id, pid: socket.pid })}`,
      ],
    );
    assert.deepEqual([frames[3].socket, frames[3].rooms], [socket.id, ["r", "\0n5"]]);
    assert.deepEqual(
      [frames[3].pid, frames[3].log, frames[3].last, frames[3].cut],
      [socket.pid, "log-1", "off-3", CUT],
    );
  });
}

const BAD_AUTH = [
  { pid: 5, offset: "o" },
  { pid: "p" },
  { pid: { toString: "x" }, offset: ["o"] },
  { pid: "p".repeat(129), offset: "o" },
  { pid: "p", offset: "o".repeat(1_000_000) },
  { pid: null, offset: null },
];
test("what is no private id or offset is not even asked for", async (t) => {
  const { io, trunk } = await startApp(t, RECOVERY);
  for (const [index, auth] of BAD_AUTH.entries()) {
    const connected = once(io, "connection");
    trunk.open(index + 1);
    trunk.text(index + 1, `0${JSON.stringify(auth)}`);
    const [socket] = await connected;
    assert.equal(socket.recovered, false);
  }
  await trunk.settle();
  assert.ok(!types(trunk.frames).includes("Restore"));
});

const ANSWERS = [
  ["not found", (id) => ({ ...NOTHING, requestId: id })],
  [
    "not found, in the words of before",
    (id) => ({ type: "Restored", requestId: id, found: 0, socket: "", rooms: [], data: Buffer.alloc(0), missed: [] }),
  ],
  [
    "found, in the words of before",
    (id) => ({
      type: "Restored",
      requestId: id,
      found: 1,
      socket: "s",
      rooms: [],
      data: pack({}, { bytesMax: 99 }, ""),
      missed: [],
    }),
  ],
  ["state that nobody can read", (id) => restored(id, { socket: "s", rooms: [], data: Buffer.from("junk") })],
  ["a trunk that breaks", undefined],
];
for (const [name, answer] of ANSWERS) {
  test(`${name}: a fresh socket, or none`, async (t) => {
    const { io, trunk } = await startApp(t, RECOVERY);
    const connected = once(io, "connection");
    trunk.open(1);
    trunk.text(1, '0{"pid":"p","offset":"o"}');
    const { requestId } = await trunk.next("Restore");
    if (answer === undefined) return trunk.stream.terminate();
    trunk.send(answer(requestId));
    const [socket] = await connected;
    assert.deepEqual([socket.recovered, socket.rooms.size, socket.id === "s"], [false, 1, false]);
  });
}

test("a state in the format of another release: new sockets, and one warning", async (t) => {
  const { io, trunk, warnings } = await startApp(t, RECOVERY);
  for (let session = 1; session <= 3; session++) {
    const connected = once(io, "connection");
    trunk.open(session);
    trunk.text(session, '0{"pid":"p","offset":"o"}');
    const { requestId } = await trunk.next("Restore");
    trunk.send(restored(requestId, { socket: `s${session}`, rooms: [], data: serialize({ data: { name: "ada" } }) }));
    const [socket] = await connected;
    assert.deepEqual([socket.recovered, socket.data], [false, {}]);
    // Another attempt may have it: an app server of that release, perhaps.
    assert.equal((await trunk.next("GiveBack")).pid, "p");
  }
  assert.deepEqual(
    warnings.map((warning) => /another release/.test(warning)),
    [true],
  );
});

test("a Restored that nobody asked for breaks the protocol", async (t) => {
  const { trunk } = await startApp(t, RECOVERY);
  trunk.send(ANSWERS[0][1](9));
  assert.equal((await trunk.next("Error")).code, 1);
});

test("all nodes are asked, and the first that knows the client wins", async (t) => {
  const { apps } = await startCluster(t, { apps: 2, nodes: 2, io: () => ({ connectionStateRecovery: {} }) });
  const [a, b] = apps;
  const { socket, persist } = await lose(a.io, a.trunks[0]);
  const again = once(b.io, "connection");
  b.trunks[0].open(1);
  b.trunks[0].text(1, `0${JSON.stringify({ pid: socket.pid, offset: "o" })}`);
  const [first, second] = await Promise.all(b.trunks.map((trunk) => trunk.next("Restore")));
  b.trunks[0].send(ANSWERS[0][1](first.requestId));
  await b.trunks[0].settle();
  b.trunks[1].send(restored(second.requestId, persist));
  const [back] = await again;
  assert.deepEqual([back.recovered, back.id], [true, socket.id]);
});

test("a node that does not answer is waited for two seconds", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { io, trunk } = await startApp(t, RECOVERY);
  const connected = once(io, "connection");
  trunk.open(1);
  trunk.text(1, '0{"pid":"p","offset":"o"}');
  const { requestId } = await trunk.next("Restore");
  t.mock.timers.tick(2_000);
  const [socket] = await connected;
  assert.equal(socket.recovered, false);
  trunk.send(ANSWERS[0][1](requestId));
  await trunk.settle();
  t.mock.timers.reset();
});

test("a recorded broadcast takes one way to all, behind operations, too: the log has one order", async (t) => {
  const { apps } = await startCluster(t, { apps: 2, io: () => ({ connectionStateRecovery: {} }) });
  const [a, b] = apps;
  a.io.socketsJoin("r");
  a.io.to("r").emit("x");
  assert.equal((await a.trunk.next("Recorded")).flags, 8);
  await a.trunk.settle();
  await b.trunk.settle();
  assert.ok(!types(b.trunk.frames).includes("Broadcast"));
});

test("direct clients recover at their own app server, with broadcasts of the others", async (t) => {
  const node = await FakeNode.start({ relays: true });
  const apps = [];
  for (let index = 0; index < 2; index++) {
    const http = createServer();
    http.listen(0, "127.0.0.1");
    const io = new Server(http, { connectionStateRecovery: {} });
    const trunkline = useTrunkline(io, { endpoint: node.endpoint });
    apps.push({ io, http, trunkline, trunk: await node.trunk() });
  }
  const [a, b] = apps;
  const client = connect(`http://127.0.0.1:${a.http.address().port}`, {
    transports: ["websocket"],
    reconnection: false,
  });
  t.after(async () => {
    client.close();
    await Promise.all(apps.map(({ io }) => io.close()));
    await node.stop();
  });
  const heard = [];
  client.onAny((...args) => heard.push(args));
  const [socket] = await once(a.io, "connection");
  await a.trunk.settle();
  await b.trunk.settle();
  b.io.emit("first");
  await until(() => heard.length === 1);
  client.io.engine.close();
  await once(socket, "disconnect");
  a.io.to("nobody").emit("not for it");
  a.io.emit("second", 2);
  b.io.emit("third", 3);
  await b.trunk.settle();
  await a.trunk.settle();
  const again = once(a.io, "connection");
  client.connect();
  const [back] = await again;
  assert.deepEqual([back.recovered, back.id], [true, socket.id]);
  await until(() => heard.length === 3);
  assert.deepEqual(
    heard.map(([event]) => event),
    ["first", "second", "third"],
  );
});

const numbersOf = (trunk) => trunk.numbers.map(({ high, low }) => high * 2 ** 32 + low);

test("broadcasts have numbers, the same at every node: told at once, and again where one was not sent", async (t) => {
  const { apps, nodes } = await startCluster(t, { apps: 1, nodes: 2, io: () => ({ connectionStateRecovery: {} }) });
  const [{ io, trunks }] = apps;
  const [first, second] = trunks;
  await first.settle();
  await second.settle();
  assert.deepEqual(trunks.map(numbersOf), [[1], [1]]);
  io.emit("one");
  io.volatile.emit("two");
  await first.settle();
  await second.settle();
  assert.deepEqual(trunks.map(numbersOf), [[1], [1]]);
  second.stream.terminate();
  await until(() => apps[0].trunkline.stats.trunksUp === 1);
  io.emit("three");
  io.local.emit("four");
  io.emit("five");
  const again = await nodes[1].trunk();
  await again.settle();
  // What was local and came while the trunk was down is nobody's there any more.
  assert.deepEqual(numbersOf(again), [3, 5]);
  assert.deepEqual(
    again.frames.filter(({ parts }) => parts).map(({ parts }) => JSON.parse(text(parts)[0].slice(1))[0]),
    ["three", "five"],
  );
  io.emit("six");
  await again.settle();
  assert.deepEqual(numbersOf(again), [3, 5]);
});

test("at a node that knows no numbers nobody counts", async (t) => {
  const old = await startApp(t, {
    ...RECOVERY,
    node: { welcome: { info: '{"node":"n1","version":"0.0.0","warnings":[]}' } },
  });
  old.io.emit("x");
  const connected = once(old.io, "connection");
  old.trunk.open(1);
  old.trunk.text(1, '0{"pid":"p","offset":"o"}');
  const [socket] = await connected;
  assert.equal(socket.recovered, false);
  assert.ok(!types(old.trunk.frames).includes("Restore") && old.trunk.numbers.length === 0);
  assert.match(old.warnings[0], /does not number broadcasts/);
});

/** A client that comes back in session 2. */
async function comeBack(trunk, { socket, persist }, session = 2, missed = []) {
  trunk.open(session);
  trunk.text(session, `0${JSON.stringify({ pid: socket.pid, offset: "o" })}`);
  const { requestId } = await trunk.next("Restore");
  trunk.send(restored(requestId, persist, missed));
}

test("a node that cannot vouch for what came meanwhile: a new socket, and what was given is given back", async (t) => {
  const { io, trunk } = await startApp(t, RECOVERY);
  const lost = await lose(io, trunk);
  trunk.holds = 0;
  const connected = once(io, "connection");
  await comeBack(trunk, lost);
  const [socket] = await connected;
  assert.equal(socket.recovered, false);
  assert.deepEqual((await trunk.next("GiveBack")).pid, lost.socket.pid);
});

test("a socket that a middleware refuses is given back, and nothing that it missed has left", async (t) => {
  const { io, trunk } = await startApp(t, { io: { connectionStateRecovery: { skipMiddlewares: false } } });
  const lost = await lose(io, trunk);
  io.use((_socket, next) => next(new Error("not now")));
  trunk.frames.length = 0;
  await comeBack(trunk, lost, 2, [[part('2["m","off-2"]')]]);
  assert.equal((await trunk.next("GiveBack")).pid, lost.socket.pid);
  const sent = await trunk.next("Send");
  assert.equal(sent.payload.toString(), '4{"message":"not now"}');
});

test("a client that comes back twice: the earlier socket is kept and ends, the later one has it", async (t) => {
  const { io, trunk } = await startApp(t, RECOVERY);
  const lost = await lose(io, trunk);
  let connected = once(io, "connection");
  await comeBack(trunk, lost, 2);
  const [earlier] = await connected;
  const ended = once(earlier, "disconnect");
  await trunk.settle();
  trunk.frames.length = 0;
  trunk.open(3);
  trunk.text(3, `0${JSON.stringify({ pid: earlier.pid, offset: "o" })}`);
  trunk.send({ ...NOTHING, found: 2, socket: earlier.id, requestId: (await trunk.next("Restore")).requestId });
  assert.deepEqual(await ended, ["transport close", undefined]);
  assert.equal((await trunk.next("Send")).payload.toString(), "1");
  const persist = await trunk.next("Persist");
  assert.deepEqual([persist.session, persist.pid], [2, earlier.pid]);
  connected = once(io, "connection");
  trunk.send(restored((await trunk.next("Restore")).requestId, persist));
  const [later] = await connected;
  assert.deepEqual([later.id, later.recovered, io.sockets.sockets.get(later.id) === later], [earlier.id, true, true]);
  assert.deepEqual([...later.rooms], [later.id]);
  await trunk.settle();
  assert.equal(trunk.frames.find(({ type }) => type === "Close").session, 2);
});

test("the same over two app servers", async (t) => {
  const { apps } = await startCluster(t, { apps: 2, io: () => ({ connectionStateRecovery: {} }) });
  const [a, b] = apps;
  const lost = await lose(a.io, a.trunk);
  const connected = once(a.io, "connection");
  await comeBack(a.trunk, lost, 2);
  const [earlier] = await connected;
  const ended = once(earlier, "disconnect");
  const again = once(b.io, "connection");
  b.trunk.open(1);
  b.trunk.text(1, `0${JSON.stringify({ pid: earlier.pid, offset: "o" })}`);
  b.trunk.send({ ...NOTHING, found: 2, socket: earlier.id, requestId: (await b.trunk.next("Restore")).requestId });
  assert.deepEqual(await ended, ["transport close", undefined]);
  const persist = await a.trunk.next("Persist");
  b.trunk.send(restored((await b.trunk.next("Restore")).requestId, persist));
  const [later] = await again;
  assert.deepEqual([later.id, later.recovered], [earlier.id, true]);
  assert.deepEqual(
    (await a.io.fetchSockets()).map(({ id }) => id),
    [later.id],
  );
});

test("one whose middlewares still run gives way, too: the later one is new in the same process", async (t) => {
  const { io, trunk } = await startApp(t, { io: { connectionStateRecovery: { skipMiddlewares: false } } });
  const lost = await lose(io, trunk);
  const waiting = [];
  io.use((_socket, next) => waiting.push(next));
  await comeBack(trunk, lost, 2);
  await until(() => waiting.length === 1);
  trunk.frames.length = 0;
  trunk.open(3);
  trunk.text(3, `0${JSON.stringify({ pid: lost.socket.pid, offset: "o" })}`);
  for (let round = 0; round < 2; round++) {
    trunk.send({ ...NOTHING, found: 2, socket: lost.socket.id, requestId: (await trunk.next("Restore")).requestId });
  }
  assert.equal((await trunk.next("Close")).session, 2);
  await until(() => waiting.length === 2);
  const connected = once(io, "connection");
  for (const next of waiting) next();
  const [socket] = await connected;
  assert.deepEqual([socket.recovered, io.sockets.sockets.size], [false, 1]);
  assert.equal((await trunk.next("GiveBack")).pid, lost.socket.pid);
});

test("direct clients: what is broadcast while a middleware runs is not missed, and two on one private id are one", async (t) => {
  const { io, trunkline } = await startApp(t, { io: { connectionStateRecovery: { skipMiddlewares: false } } });
  const http = createServer();
  await new Promise((listening) => http.listen(0, "127.0.0.1", listening));
  io.attach(http);
  t.after(() => trunkline.close());
  let next = () => undefined;
  let hold = false;
  io.use((_socket, go) => (hold ? (next = go) : go()));
  const url = `http://127.0.0.1:${http.address().port}`;
  const client = connect(url, { transports: ["websocket"], reconnection: false, forceNew: true });
  const heard = [];
  client.on("m", (number) => heard.push(number));
  const [socket] = await once(io, "connection");
  io.emit("m", 1);
  await until(() => heard.length === 1);
  client.io.engine.close();
  await once(socket, "disconnect");
  hold = true;
  client.connect();
  const before = next;
  await until(() => next !== before);
  io.emit("m", 2);
  hold = false;
  next();
  await until(() => heard.length === 2);
  assert.deepEqual([client.recovered, heard], [true, [1, 2]]);
  const twin = connect(url, { transports: ["websocket"], reconnection: false, forceNew: true, autoConnect: false });
  Object.assign(twin, { _pid: client._pid, _lastOffset: client._lastOffset });
  const ended = once(client, "disconnect");
  twin.connect();
  await once(twin, "connect");
  assert.deepEqual(
    [twin.recovered, twin.id, (await ended)[0], io.sockets.sockets.size],
    [true, socket.id, "io server disconnect", 1],
  );
  io.emit("m", 3);
  const [third] = await once(twin, "m");
  assert.equal(third, 3);
  twin.close();
  client.close();
  http.closeAllConnections();
  http.close();
});
