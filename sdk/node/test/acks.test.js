/** Broadcasts that expect acknowledgements: one operation over the sockets of all app servers. */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { connectClient, startApp, startCluster, types, until } from "./support/app.js";

const { version } = createRequire(createRequire(import.meta.url).resolve("socket.io"))("../package.json");

/** The acknowledgement number of the next broadcast on a trunk. */
async function asked(trunk) {
  const { flags, parts } = await trunk.next("Broadcast");
  assert.equal(flags & 2, 2, "each app server asks its own sockets");
  return Number(/^2(\d+)\[/.exec(parts[0].data.toString())[1]);
}

const ack = (trunk, session, id, value) => trunk.text(session, `3${id}[${JSON.stringify(value)}]`);

test("on one app server it is one frame, whoever is asked", async (t) => {
  const { io, trunk } = await startApp(t);
  const [one] = [
    await connectClient(io, trunk, 1),
    await connectClient(io, trunk, 2),
    await connectClient(io, trunk, 3),
  ];
  const heard = [];
  one.onAnyOutgoing((...args) => heard.push(args));
  await trunk.settle();
  trunk.frames.length = 0;
  const answered = io.timeout(10_000).emitWithAck("ask", 5);
  const id = await asked(trunk);
  assert.deepEqual([types(trunk.frames), heard], [[], [["ask", 5]]]);
  ack(trunk, 2, id, "two");
  ack(trunk, 2, id, "twice");
  ack(trunk, 1, 4711, "unknown");
  ack(trunk, 1, id, "one");
  ack(trunk, 3, id, "three");
  assert.deepEqual(await answered, ["two", "one", "three"]);
});

test("nobody to ask is an empty answer at once", async (t) => {
  const { io, trunk } = await startApp(t);
  assert.deepEqual(await io.timeout(10_000).emitWithAck("ask"), []);
  await trunk.settle();
  assert.deepEqual(types(trunk.frames), []);
});

test("the time limit reports what there is, and late answers change nothing", async (t) => {
  const { io, trunk } = await startApp(t);
  const socket = await connectClient(io, trunk, 1);
  await connectClient(io, trunk, 2);
  let calls = 0;
  const outcome = new Promise((resolve) => {
    io.timeout(500).emit("ask", (error, responses) => {
      calls++;
      resolve([error.message, [...responses]]);
    });
  });
  const id = await asked(trunk);
  ack(trunk, 2, id, "two");
  assert.deepEqual(await outcome, ["operation has timed out", ["two"]]);
  await until(() => socket.acks.size === 0);
  ack(trunk, 1, id, "late");
  await trunk.settle();
  assert.equal(calls, 1);
});

test("a client that leaves is not waited for", async (t) => {
  const { io, trunk } = await startApp(t);
  await connectClient(io, trunk, 1);
  const socket = await connectClient(io, trunk, 2);
  const answered = io.timeout(60_000).emitWithAck("ask");
  ack(trunk, 1, await asked(trunk), "one");
  socket.disconnect();
  assert.deepEqual(await answered, ["one"]);
});

test("over three app servers each socket is asked once and all answers come", async (t) => {
  const { apps } = await startCluster(t, { apps: 3 });
  for (const [index, { io, trunk }] of apps.entries()) {
    for (let session = 1; session <= index; session++) (await connectClient(io, trunk, session)).join("r");
  }
  const [a, b, c] = apps;
  const answered = a.io.to("r").timeout(10_000).emitWithAck("ask", Buffer.from("x"));
  const broadcast = await b.trunk.next("Broadcast");
  assert.deepEqual([broadcast.rooms, broadcast.parts[1].data.toString()], [["r"], "x"]);
  ack(b.trunk, 1, /^51-(\d+)\[/.exec(broadcast.parts[0].data)[1], "b");
  const other = await c.trunk.next("Broadcast");
  const id = /^51-(\d+)\[/.exec(other.parts[0].data)[1];
  ack(c.trunk, 1, id, { n: 1 });
  ack(c.trunk, 2, id, "c2");
  assert.deepEqual((await answered).map((each) => JSON.stringify(each)).sort(), ['"b"', '"c2"', '{"n":1}']);
  await a.trunk.settle();
  assert.ok(!types(a.trunk.frames).includes("Broadcast"), "it has no sockets of its own to ask");
});

test("a client of another app server that leaves is not waited for, nor is an app server that dies", async (t) => {
  const { apps } = await startCluster(t, { apps: 3 });
  const [a, b, c] = apps;
  await connectClient(a.io, a.trunk, 1);
  await connectClient(b.io, b.trunk, 1);
  const leaver = await connectClient(b.io, b.trunk, 2);
  await connectClient(c.io, c.trunk, 1);
  const answered = a.io.timeout(60_000).emitWithAck("ask");
  ack(a.trunk, 1, await asked(a.trunk), "a");
  ack(b.trunk, 1, await asked(b.trunk), "b");
  leaver.disconnect();
  await asked(c.trunk);
  c.trunk.stream.terminate();
  assert.deepEqual((await answered).sort(), ["a", "b"]);
});

test("partial results over app servers at the time limit", async (t) => {
  const { apps } = await startCluster(t);
  const [a, b] = apps;
  await connectClient(a.io, a.trunk, 1);
  const remote = await connectClient(b.io, b.trunk, 1);
  const failed = assert.rejects(a.io.timeout(500).emitWithAck("ask"), (error) => {
    assert.deepEqual([error.message, error.responses], ["operation has timed out", ["a"]]);
    return true;
  });
  ack(a.trunk, 1, await asked(a.trunk), "a");
  await failed;
  // The other app server has a clock of its own.
  await until(() => remote.acks.size === 0);
});

test("a RemoteSocket answers for itself; `local` asks nobody else", async (t) => {
  const { apps } = await startCluster(t);
  const [a, b] = apps;
  await connectClient(b.io, b.trunk, 1);
  const [remote] = await a.io.fetchSockets();
  const answer = remote.timeout(10_000).emitWithAck("ask");
  ack(b.trunk, 1, await asked(b.trunk), "it is me");
  // socket.io 4.6 itself loses the answer of a RemoteSocket.
  assert.equal(await answer, version.startsWith("4.6.") ? null : "it is me");
  assert.deepEqual(await a.io.local.timeout(10_000).emitWithAck("ask"), []);
});

test("a namespace that an app server does not have is not waited for", async (t) => {
  const { apps } = await startCluster(t);
  const [a] = apps;
  a.io.of("/only-here");
  assert.deepEqual(await a.io.of("/only-here").timeout(60_000).emitWithAck("ask"), []);
  assert.deepEqual(await a.io.of("/only-here").fetchSockets(), []);
  assert.deepEqual(await a.io.of("/only-here").serverSideEmitWithAck("x"), []);
});
