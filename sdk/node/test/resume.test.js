// A trunk whose stream breaks goes on with another one: for the app nothing has happened.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Server } from "socket.io";
import { useTrunkline } from "../dist/esm/index.js";
import { HangWatch } from "../dist/esm/trunk/hang.js";
import { encodeBatch } from "../../../testing/trunk_batch.mjs";
import { connectClient, startApp, types, until } from "./support/app.js";
import { FakeNode } from "./support/fake-node.js";
import { MachineUnderTest } from "./support/machine.js";

const WINDOW_MS = 20_000;

/** An app with one client, on a trunk that can be resumed. */
async function start(t, { node, ...options } = {}) {
  const app = await startApp(t, { ...options, node: { resumes: WINDOW_MS, ...node } });
  const { io, trunk, trunkline } = app;
  const socket = await connectClient(io, trunk, 1);
  await trunk.settle();
  trunk.frames.length = 0;
  const events = [];
  for (const name of ["connect", "disconnect"]) trunkline.on(name, () => events.push(name));
  socket.on("disconnect", (reason) => events.push(reason));
  return { ...app, socket, events };
}

const texts = (trunk) =>
  trunk.frames.filter(({ type }) => type === "Send").map(({ payload }) => JSON.parse(payload.toString().slice(1)));

/** Waits until the trunk has no stream. Looks in every turn: on one machine it has another one within a millisecond. */
async function inGap({ nodes }) {
  while (nodes.trunks[0].gap === undefined) await new Promise(setImmediate);
}

test("Hello says where it comes from, and that the trunk can be resumed", async (t) => {
  const { trunk } = await startApp(t);
  const { from, resumable, resume } = JSON.parse(trunk.hello.settings);
  const { _socket: stream } = trunk.stream;
  assert.deepEqual([from, resumable, resume], [`127.0.0.1:${stream.remotePort}`, true, undefined]);
});

test("the address is IPv4's also when the endpoint is in IPv6's form", async (t) => {
  const node = await FakeNode.start();
  const { port } = new URL(node.endpoint);
  const trunkline = useTrunkline(new Server(), { endpoint: `http://[::ffff:127.0.0.1]:${port}` });
  t.after(async () => {
    await trunkline.close();
    await node.stop();
  });
  const trunk = await node.trunk();
  const { remotePort } = trunk.stream._socket;
  assert.equal(JSON.parse(trunk.hello.settings).from, `127.0.0.1:${remotePort}`);
});

test("a stream that breaks is replaced: no event, no warning, nothing lost, nothing twice", async (t) => {
  const { node, trunk, trunkline, socket, events, warnings } = await start(t);
  const heard = [];
  socket.on("say", (number) => heard.push(number));
  trunk.text(1, '2["say",1]');
  socket.emit("told", 1);
  await trunk.settle();
  const resumed = trunk.resumed();
  // The node has sent this, and the app server has not read it when the stream breaks.
  trunk.stream._socket.cork();
  trunk.text(1, '2["say",2]');
  trunk.stream.terminate();
  socket.emit("told", 2);
  await resumed;
  const { resume } = JSON.parse(trunk.hello.settings);
  assert.equal(resume.trunk, `trunk-${node.port}-0`);
  socket.emit("told", 3);
  trunk.text(1, '2["say",3]');
  await trunk.settle();
  assert.deepEqual(heard, [1, 2, 3]);
  assert.deepEqual(texts(trunk), [
    ["told", 1],
    ["told", 2],
    ["told", 3],
  ]);
  assert.deepEqual([events, warnings, socket.connected], [[], [], true]);
  const { resumed: count, reconnects, trunksUp, sessions } = trunkline.stats;
  assert.deepEqual([count, reconnects, trunksUp, sessions], [1, 0, 1, 1]);
});

test("streams that break again and again, also while the next one opens", async (t) => {
  let breaks = 0;
  const { trunk, trunkline, socket, events } = await start(t, {
    node: { answers: () => (breaks-- > 0 ? false : undefined) },
  });
  for (let round = 0; round < 10; round++) {
    const resumed = trunk.resumed();
    breaks = round % 3;
    socket.emit("told", 2 * round);
    trunk.stream.terminate();
    socket.emit("told", 2 * round + 1);
    await resumed;
  }
  await trunk.settle();
  assert.deepEqual(
    texts(trunk).map(([, number]) => number),
    Array.from({ length: 20 }, (_, number) => number),
  );
  assert.deepEqual([events, trunkline.stats.resumed], [[], 10]);
});

test("10,000 messages during a break arrive once and in order, and so do broadcasts", async (t) => {
  let refusal;
  const { io, trunk, socket } = await start(t, { node: { refuse: () => refusal, welcome: { credit: 64 * 1024 } } });
  refusal = { status: 503, body: { error: "draining", message: "Later." } };
  trunk.onFrame = ({ type, payload }) => {
    if (type === "Send") trunk.send({ type: "Credit", bytes: payload.length + 2 });
  };
  const resumed = trunk.resumed();
  trunk.stream.terminate();
  for (let number = 0; number < 10_000; number++) {
    socket.emit("told", number);
    if (number % 100 === 0) {
      io.emit("all", number);
      await new Promise(setImmediate);
    }
  }
  refusal = undefined;
  await resumed;
  trunk.send({ type: "Credit", bytes: 1 << 20 });
  await until(() => texts(trunk).length === 10_000);
  assert.ok(texts(trunk).every(([, number], index) => number === index));
  const broadcasts = trunk.frames.filter(({ type }) => type === "Broadcast");
  assert.deepEqual(
    broadcasts.map(({ parts }) => JSON.parse(parts[0].data.toString().slice(1))[1]),
    Array.from({ length: 100 }, (_, index) => 100 * index),
  );
});

test("a node that has nothing left of the trunk: the sessions end, and what was broadcast meanwhile goes to the new one", async (t) => {
  const { io, node, trunk, trunkline, socket, events, warnings } = await start(t);
  node.forget();
  const up = once(trunkline, "connect");
  trunk.stream.terminate();
  await inGap(trunkline);
  io.emit("meanwhile");
  io.local.emit("only to our own");
  socket.emit("for this one");
  await up;
  const next = await node.trunk();
  await next.settle();
  assert.deepEqual(events, ["transport close", "disconnect", "connect"]);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0], /the trunk to .* broke: .*; its sessions have ended, trying again/);
  const { resumed, reconnects, sessions, broadcastsDropped } = trunkline.stats;
  assert.deepEqual([resumed, reconnects, sessions, broadcastsDropped], [0, 1, 0, 0]);
  assert.deepEqual(
    next.frames.filter(({ type }) => type !== "Pong").map(({ type, parts }) => [type, parts?.[0].data.toString()]),
    [
      ["Namespace", undefined],
      ["Broadcast", '2["meanwhile"]'],
    ],
  );
  assert.equal(JSON.parse(next.hello.settings).resume.trunk, `trunk-${node.port}-0`, "it was asked");
  // Numbers start anew.
  await connectClient(io, next, 1);
});

test("when no node is there in time the trunk is lost, with the cause of the break, and attempts go on", async (t) => {
  let isAway = false;
  const { node, trunk, trunkline, events } = await start(t, {
    node: { resumes: 30, refuse: () => (isAway ? { status: 503, body: "away" } : undefined) },
  });
  isAway = true;
  const down = once(trunkline, "disconnect");
  trunk.stream.terminate();
  const [error] = await down;
  assert.deepEqual([error.code, trunkline.stats.trunksUp], ["connection", 0]);
  assert.match(error.message, /broke/);
  const asked = node.requests.length;
  assert.ok(asked >= 3, "it was tried more than once");
  isAway = false;
  const next = await node.trunk();
  assert.equal(JSON.parse(next.hello.settings).resume, undefined);
  await until(() => events.length === 3);
  assert.deepEqual(events, ["transport close", "disconnect", "connect"]);
});

for (const [what, received] of [
  ["more than was sent", 1_000],
  ["less than it had confirmed", 0],
  ["nonsense", "x"],
]) {
  test(`a node that says to have received ${what} gets an error, and a new trunk follows`, async (t) => {
    const { node, trunk, trunkline, socket, events } = await start(t);
    for (let batch = 0; batch < 3; batch++) {
      socket.emit("told", batch);
      await trunk.settle();
    }
    trunk.send({ type: "Got", batches: 2 });
    await trunk.settle();
    const wrong = new Promise((resolve) => {
      trunk.continueOn = ({ stream }, welcome) => {
        trunk.stream.terminate();
        stream.removeAllListeners("message");
        stream.on("message", (data) => resolve([data, once(stream, "close")]));
        const info = JSON.stringify({ ...JSON.parse(welcome.info), resumed: { received } });
        stream.send(encodeBatch([{ ...welcome, info }]));
      };
    });
    trunk.stream.terminate();
    const [data, closed] = await wrong;
    assert.equal(data[0], 3, "an Error");
    assert.equal((await closed)[0], 1008);
    const next = await node.trunk();
    assert.equal(JSON.parse(next.hello.settings).resume, undefined);
    await until(() => events.length === 3);
    assert.deepEqual([events, trunkline.stats.resumed], [["transport close", "disconnect", "connect"], 0]);
  });
}

test("a stream that breaks in the middle of a batch: the batch comes once more, whole", async (t) => {
  const { trunk, socket } = await start(t);
  const heard = [];
  socket.on("say", (number, text) => heard.push([number, text.length]));
  const { _socket: stream } = trunk.stream;
  const resumed = trunk.resumed();
  // The head of the message and half of its bytes.
  const whole = [];
  stream.write = (chunk) => whole.push(chunk);
  trunk.text(1, `2["say",1,"${"x".repeat(100_000)}"]`);
  delete stream.write;
  const bytes = Buffer.concat(whole);
  stream.write(bytes.subarray(0, bytes.length >> 1), () => stream.destroy());
  await resumed;
  await trunk.settle();
  assert.deepEqual(heard, [[1, 100_000]]);
});

test("what waits for credit goes on waiting over a break, in order", async (t) => {
  const { io, trunk, trunkline, socket } = await start(t, { node: { welcome: { credit: 60 } } });
  for (let number = 0; number < 5; number++) socket.emit("told", number);
  await trunk.settle();
  const before = texts(trunk).length;
  assert.ok(before < 5);
  const resumed = trunk.resumed();
  trunk.stream.terminate();
  socket.join("r");
  io.to("r").emit("told", 5);
  await resumed;
  await trunk.settle();
  assert.ok(trunkline.stats.heldBytes > 0);
  trunk.send({ type: "Credit", bytes: 1_000 });
  await trunk.next("Broadcast");
  assert.deepEqual(
    texts(trunk).map(([, number]) => number),
    [0, 1, 2, 3, 4],
  );
  assert.deepEqual(types(trunk.frames.filter(({ type }) => type !== "Pong")).slice(-1), ["Join"]);
});

test("`io.close()` during a break: the last words go to the next stream, then it is closed in order", async (t) => {
  let isAway = false;
  const { io, trunk, trunkline, socket } = await start(t, {
    node: { refuse: () => (isAway ? { status: 503, body: "away" } : undefined) },
    options: { close: "at once" },
  });
  const resumed = trunk.resumed();
  isAway = true;
  trunk.stream.terminate();
  await inGap(trunkline);
  socket.emit("last words");
  const closed = io.close();
  isAway = false;
  await resumed;
  assert.equal(await trunk.closed, 1000);
  await closed;
  assert.deepEqual(texts(trunk)[0], ["last words"]);
  assert.ok(types(trunk.frames).includes("Close"));
});

test("`io.close()` during a break that does not end is over all the same", async (t) => {
  let isAway = false;
  const { io, trunk, trunkline, events } = await start(t, {
    node: { refuse: () => (isAway ? { status: 503, body: "away" } : undefined), resumes: 10 },
  });
  isAway = true;
  trunk.stream.terminate();
  await inGap(trunkline);
  await io.close();
  assert.deepEqual([events.includes("connect"), trunkline.stats.trunksUp], [false, 0]);
});

for (const [what, end] of [
  ["a close frame", (trunk) => trunk.stream.close(1001)],
  ["an Error", (trunk) => trunk.send({ type: "Error", code: 6, message: "sessions_max" })],
  ["a broken rule", (trunk) => trunk.raw(Buffer.from("ffff", "hex"))],
]) {
  test(`a trunk that ended with ${what} is not resumed`, async (t) => {
    const { node, trunk, trunkline } = await start(t);
    const down = once(trunkline, "disconnect");
    end(trunk);
    await down;
    const next = await node.trunk();
    assert.equal(JSON.parse(next.hello.settings).resume, undefined);
  });
}

test("a trunk of which too much is unconfirmed ends with its stream", async (t) => {
  const { io, node, trunk, trunkline } = await start(t, { node: { welcome: { credit: 1 << 26 } } });
  const chunk = "x".repeat(900_000);
  for (let count = 0; count < 20; count++) io.emit("news", chunk);
  await trunk.settle();
  const down = once(trunkline, "disconnect");
  trunk.stream.terminate();
  await down;
  assert.equal(JSON.parse((await node.trunk()).hello.settings).resume, undefined);
});

test("an app that says too much during a break loses the trunk", async (t) => {
  let isAway = false;
  const { io, trunk, trunkline } = await start(t, {
    node: { welcome: { credit: 1 << 26 }, refuse: () => (isAway ? { status: 503, body: "away" } : undefined) },
  });
  isAway = true;
  trunk.stream.terminate();
  await inGap(trunkline);
  const down = once(trunkline, "disconnect");
  const chunk = "x".repeat(900_000);
  for (let count = 0; count < 20; count++) io.emit("news", chunk);
  await down;
  isAway = false;
});

test("broadcasts that are lost with a trunk that could not be resumed are counted, and no others", async (t) => {
  const { io, node, trunk, trunkline } = await start(t, { node: { welcome: { credit: 30 } } });
  const down = once(trunkline, "disconnect");
  node.forget();
  // The client's CONNECT has used up the credit: they wait for more when the stream breaks.
  for (let number = 0; number < 3; number++) io.emit("before", "x".repeat(30));
  await trunk.settle();
  trunk.stream.terminate();
  await inGap(trunkline);
  // One goes to the next trunk, and one is more than may wait for it.
  io.emit("meanwhile", "x".repeat(600_000));
  io.emit("too much", "x".repeat(600_000));
  assert.equal(trunkline.stats.broadcastsDropped, 0);
  await down;
  assert.equal(trunkline.stats.broadcastsDropped, 4);
  assert.equal((await (await node.trunk()).next("Broadcast")).parts[0].data.toString().slice(0, 14), '2["meanwhile",');
});

test("what was for our own sockets alone does not reach them by a new trunk: they may be another app server's", async (t) => {
  const { io, node, trunk, trunkline } = await start(t);
  const [socket] = io.sockets.sockets.values();
  const down = once(trunkline, "disconnect");
  node.forget();
  trunk.stream.terminate();
  await inGap(trunkline);
  io.to(socket.id).emit("own");
  io.to("another").emit("others");
  await down;
  const next = await node.trunk();
  const [first, second] = [await next.next("Broadcast"), await next.next("Broadcast")];
  assert.notDeepEqual(first.rooms, [socket.id]);
  assert.equal(first.rooms.length, 1);
  assert.deepEqual(second.rooms, ["another"]);
});

test("what was broadcast during a break that is over is not sent again on a later trunk", async (t) => {
  let isAway = false;
  const { io, node, trunk, trunkline } = await start(t, {
    node: { refuse: () => (isAway ? { status: 503, body: "away" } : undefined) },
  });
  isAway = true;
  const resumed = trunk.resumed();
  trunk.stream.terminate();
  await inGap(trunkline);
  io.emit("once");
  isAway = false;
  await resumed;
  await trunk.next("Broadcast");
  node.forget();
  trunk.stream.terminate();
  const next = await node.trunk();
  io.emit("last");
  assert.equal((await next.next("Broadcast")).parts[0].data.toString(), '2["last"]');
});

test("questions that were asked before a break are answered after it", async (t) => {
  const { trunk, socket, trunkline } = await start(t);
  const measured = trunkline.bufferedBytes(socket);
  const mark = await trunk.next("Mark");
  const resumed = trunk.resumed();
  trunk.stream.terminate();
  await resumed;
  trunk.send({ type: "Marked", session: 1, mark: mark.mark, waitingBytes: 77 });
  assert.equal(await measured, 77);
});

test("options that change during a break reach the node once", async (t) => {
  const { io, trunk, trunkline } = await start(t);
  const resumed = trunk.resumed();
  trunk.stream.terminate();
  await inGap(trunkline);
  io.engine.opts.pingInterval = 4321;
  await resumed;
  const { settings } = await trunk.next("Settings");
  assert.equal(JSON.parse(settings).pingInterval, 4321);
});

test("during a break no time counts against the node that gives no credit", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const hangs = [];
  const watch = new HangWatch((bytes) => hangs.push(bytes));
  const pass = async (ms) => {
    t.mock.timers.tick(ms);
    watch.noteHeld(20_000_000);
    for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
  };
  watch.noteHeld(20_000_000);
  await pass(4_000);
  watch.pause();
  await pass(60_000);
  assert.deepEqual(hangs, []);
  watch.resume(20_000_000);
  await pass(4_000);
  assert.deepEqual(hangs, [], "counted from the new stream on");
  await pass(2_000);
  assert.equal(hangs.length, 1);
});

test("a trunk without a stream does not hang", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const end = new MachineUnderTest({ resume: true, credit: 1 });
  const { outbound } = end.machine;
  const chunk = "x".repeat(900_000);
  end.machine.handleBreak();
  for (let count = 0; count < 30; count++) {
    outbound.send(1, 0, chunk);
    t.mock.timers.tick(1_000);
    await new Promise(setImmediate);
  }
  assert.deepEqual([end.heard(), outbound.heldBytes > 20_000_000], [[], true]);
});

test("a new stream is a sign of life", () => {
  const end = new MachineUnderTest({ resume: true });
  for (let tick = 0; tick < 2; tick++) end.machine.handleTick();
  assert.deepEqual(types(end.take()), ["Ping", "Ping"]);
  end.machine.handleBreak();
  end.machine.handleResumed();
  for (let tick = 0; tick < 3; tick++) end.machine.handleTick();
  assert.deepEqual([types(end.take()), end.heard()], [["Ping", "Ping"], []]);
});
