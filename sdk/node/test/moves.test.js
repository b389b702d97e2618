// Sessions that go from one node to another: the app notices nothing, and nothing is lost on the way.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Server } from "socket.io";
import { useTrunkline } from "../dist/esm/index.js";
import { connectClient, types, until } from "./support/app.js";
import { FakeNode, openFrame } from "./support/fake-node.js";

const FRAMES = ["Number", "Mark", "Handled", "State", "Standing", "Got", "Reattach", "Prove", "GiveBack", "Beside"];
const SEEN = new Set([
  "Accept",
  "Close",
  "Send",
  "Join",
  "Leave",
  "Detach",
  "Mark",
  "Broadcast",
  "Namespace",
  "Persist",
]);
const seen = (trunk) => trunk.frames.filter(({ type }) => SEEN.has(type));
const textOf = ({ payload }) => payload.toString();

/** An app server with a trunk to two nodes, and a client at the first one. */
async function start(t, { io: options = {}, eio = 4, ...rest } = {}) {
  const nodes = await Promise.all(
    ["o", "l"].map((node) =>
      FakeNode.start({ welcome: { info: JSON.stringify({ node, version: "0", warnings: [], frames: FRAMES }) } }),
    ),
  );
  const io = new Server({ allowEIO3: true, ...options });
  const trunkline = useTrunkline(io, { endpoint: nodes.map(({ endpoint }) => endpoint), ...rest });
  trunkline.on("warning", () => undefined);
  t.after(async () => {
    await trunkline.close({ rehome: false });
    await Promise.all(nodes.map((node) => node.stop()));
  });
  const [from, to] = await Promise.all(nodes.map((node) => node.trunk()));
  const socket = eio === 3 ? await connectOld(io, from) : await connectClient(io, from, 1, { sid: "sid" });
  const ends = [];
  socket.on("disconnect", (reason, details) => ends.push([reason, details?.context?.cause]));
  await from.settle();
  from.frames.length = 0;
  return { io, trunkline, nodes, from, to, socket, ends };
}

async function connectOld(io, trunk) {
  const connected = once(io, "connection");
  trunk.open(1, { sid: "sid", eio: 3 });
  return (await connected)[0];
}

const left = (to = "l") => ({ type: "Close", session: 1, reason: 14, description: to });

function arrives(session = 5, sid = "sid") {
  const { eio, request } = openFrame(session, { sid, address: "", url: "", method: "" });
  return {
    type: "Adopt",
    session,
    eio,
    sid,
    transport: 2,
    origin: 3,
    request: { ...request, rawHeaders: [] },
    sockets: [],
  };
}

/** Lets the session move, in one of both orders. */
async function move({ from, to, trunkline }, isFirst = true) {
  if (isFirst) from.send(left());
  to.send(arrives());
  if (!isFirst) from.send(left());
  await until(() => trunkline.stats.moved === 1);
}

const settle = (...trunks) => Promise.all(trunks.map((trunk) => trunk.settle()));

for (const isFirst of [true, false]) {
  test(`the session goes on at the other node when both have said it, ${isFirst ? "the former" : "the next"} first`, async (t) => {
    const app = await start(t);
    const { io, from, to, socket, ends } = app;
    const upgrades = [];
    socket.conn.on("upgrade", ({ name }) => upgrades.push(name));
    socket.on("ask", (value, answer) => answer(value + 1));
    socket.emit("before");
    socket.join("r1");
    await move(app, isFirst);
    socket.emit("after");
    socket.join("r2");
    await settle(from, to);
    assert.deepEqual(types(seen(from)), ["Send", "Join", "Close"]);
    assert.deepEqual([seen(from)[2].session, seen(from)[2].reason], [1, 14]);
    assert.deepEqual(types(seen(to)), ["Accept", "Namespace", "Send", "Join"]);
    const [accept, , send, join] = seen(to);
    assert.deepEqual([accept.session, accept.sid, accept.headers, accept.lasting], [5, "", [], []]);
    assert.deepEqual([textOf(send), send.session, join.rooms, join.session], ['2["after"]', 5, ["r2"], 5]);
    to.send({ type: "Upgraded", session: 5, transport: 2 });
    to.text(5, '21["ask",1]');
    await to.settle();
    assert.deepEqual([upgrades, socket.conn.transport.name, ends], [["websocket"], "websocket", []]);
    assert.equal(textOf(to.frames.findLast(({ type }) => type === "Send")), "31[2]");
    io.emit("all");
    await settle(from, to);
    for (const trunk of [from, to]) assert.equal(trunk.frames.filter(({ type }) => type === "Broadcast").length, 1);
    socket.disconnect(true);
    await settle(from, to);
    assert.deepEqual([types(seen(to)).at(-1), ends.length], ["Close", 1]);
    assert.ok(!types(seen(from)).includes("Send", 3), "nothing more was said at the former node");
  });
}

test("a session that has ended on its way ends at once, whatever became of the next node", async (t) => {
  const { from, socket, ends, io } = await start(t, { io: { connectionStateRecovery: {} } });
  from.send({ ...left(), description: "gone" }, { type: "Close", session: 1, reason: 9, description: "" });
  await from.settle();
  await from.settle();
  assert.deepEqual(ends, [["transport close", "move_failed"]]);
  const close = await from.next("Close");
  assert.deepEqual([close.session, close.reason], [1, 6]);
  assert.ok(types(seen(from)).includes("Persist"), "its client may return");
  assert.equal(io.of("/").sockets.has(socket.id), false);
});

test("what came before the former node's word is handled before the last word there", async (t) => {
  const { from, to, socket, trunkline } = await start(t);
  socket.on("last", () => socket.emit("seen"));
  to.send(arrives());
  await to.settle();
  from.send({ type: "Message", session: 1, flags: 0, payload: Buffer.from('2["last"]') }, left());
  await until(() => trunkline.stats.moved === 1);
  await settle(from, to);
  const all = [...seen(from), ...seen(to)];
  assert.equal(all.filter(({ type }) => type === "Send").length, 1);
  assert.equal(textOf(all.find(({ type }) => type === "Send")), '2["seen"]');
});

test("what waits for credit at the former node is said there, before the last word", async (t) => {
  const { from, to, socket, trunkline } = await start(t);
  for (let count = 0; count < 2; count++) socket.emit("big", "x".repeat(700_000));
  await from.settle();
  const held = Array.from({ length: 3 }, (_, index) => `held ${index}`);
  for (const word of held) socket.emit(word);
  from.send(left());
  to.send(arrives());
  await until(() => trunkline.stats.moved === 1);
  socket.emit("after");
  await settle(from, to);
  assert.ok(!types(seen(from)).includes("Close"), "it waits behind them");
  assert.deepEqual(
    seen(to)
      .filter(({ type }) => type === "Send")
      .map(textOf),
    ['2["after"]'],
  );
  from.send({ type: "Credit", bytes: 4 << 20 });
  const close = await from.next("Close");
  assert.equal(close.reason, 14);
  assert.deepEqual(
    seen(from)
      .filter(({ type }) => type === "Send")
      .slice(-3)
      .map(textOf),
    held.map((word) => `2["${word}"]`),
  );
});

test("marks without an answer are made again", async (t) => {
  const app = await start(t);
  const { from, to, socket } = app;
  socket.emit("much", "x".repeat(20_000));
  const measured = app.trunkline.bufferedBytes(socket);
  await from.settle();
  assert.equal(seen(from).filter(({ type }) => type === "Mark").length, 2);
  assert.ok(socket.conn.bufferedBytes > 0);
  await move(app);
  await to.settle();
  const marks = seen(to).filter(({ type }) => type === "Mark");
  assert.deepEqual(
    marks.map(({ session, flags }) => [session, flags]),
    [
      [5, 1],
      [5, 0],
    ],
  );
  to.send(...marks.map(({ mark }) => ({ type: "Marked", session: 5, mark, waitingBytes: 77 })));
  assert.equal(await measured, 77);
  await to.settle();
  assert.deepEqual([socket.conn.bufferedBytes, socket.conn.writeBuffer], [0, []]);
});

test("clients of Engine.IO 3 move, too, and those of an app without connection state recovery", async (t) => {
  const app = await start(t, { eio: 3 });
  const { from, to, socket, ends } = app;
  await move(app);
  socket.emit("after");
  await settle(from, to);
  assert.deepEqual(
    [
      seen(to)
        .filter(({ type }) => type === "Send")
        .map(textOf),
      ends,
    ],
    [['2["after"]'], []],
  );
});

test("a socket's state and standing go along: they are said again only when they change", async (t) => {
  const app = await start(t, { io: { connectionStateRecovery: {} } });
  const { from, to, socket } = app;
  socket.on("owe", () => undefined);
  await move(app);
  await settle(from, to);
  assert.ok(!types(to.frames).some((type) => type === "State" || type === "Standing"));
  to.text(5, '20["owe"]');
  const { session, flags } = await to.next("Standing");
  assert.deepEqual([session, flags], [5, 1]);
  socket.data.x = 1;
  assert.equal(await app.trunkline.save(socket), true);
  assert.equal((await to.next("State")).session, 5);
});

test("a hand-over goes on at the next node", async (t) => {
  const app = await start(t, { io: { connectionStateRecovery: {} } });
  const { io, from, to } = app;
  const closed = io.close();
  await until(() => from.frames.some(({ type, flags }) => type === "Standing" && flags === 4));
  await move(app);
  const { session, flags } = await to.next("Standing");
  assert.deepEqual([session, flags], [5, 4]);
  to.send({ type: "Close", session: 5, reason: 15, description: "" });
  const close = await to.next("Close");
  assert.deepEqual([close.session, close.reason], [5, 15]);
  await closed;
});

/** The end of a session that was lost on its way. */
const LOST = [["transport close", "move_failed"]];

test("an offer of a session that is not here is refused", async (t) => {
  const { to, from, socket, ends } = await start(t);
  to.send(arrives(5, "unknown"));
  const refused = await to.next("Close");
  assert.deepEqual([refused.session, refused.reason], [5, 5]);
  from.send(arrives(6));
  const own = await from.next("Close");
  assert.deepEqual([own.session, own.reason, ends], [6, 5, []], "the node that has it does not offer it");
  socket.disconnect(true);
  to.send(arrives(7));
  assert.equal((await to.next("Close")).reason, 5);
});

test("a second offer is refused", async (t) => {
  const app = await start(t);
  const { from, to, ends } = app;
  to.send(arrives(5), arrives(6));
  const second = await to.next("Close");
  assert.deepEqual([second.session, second.reason], [6, 6]);
  from.send(left());
  assert.equal((await to.next("Accept")).session, 5);
  assert.deepEqual(ends, []);
});

test("the session ends when the next node takes its offer back, or its trunk ends", async (t) => {
  for (const isLost of [false, true]) {
    const { from, to, ends } = await start(t, { io: { connectionStateRecovery: {} } });
    to.send(arrives());
    await to.settle();
    if (isLost) to.stream.close(1008);
    else to.send({ type: "Close", session: 5, reason: 9, description: "" });
    const close = await from.next("Close");
    assert.deepEqual([close.session, close.reason, ends], [1, 6, LOST]);
    assert.ok(types(from.frames).includes("Persist"), "the client comes back to its socket");
  }
});

test("the session ends when the trunk to the former node ends before both have spoken", async (t) => {
  const { from, to, ends, trunkline } = await start(t);
  to.send(arrives());
  await to.settle();
  from.stream.close(1008);
  const close = await to.next("Close");
  assert.deepEqual([close.session, close.reason], [5, 6]);
  await until(() => ends.length === 1);
  assert.deepEqual([ends[0][0], trunkline.stats.moved], ["transport close", 0]);
});

test("a trunk that ends after the step takes only its own sessions along", async (t) => {
  const app = await start(t);
  const { from, to, socket, ends, nodes } = app;
  await move(app);
  await settle(from, to);
  from.stream.close(1008);
  await nodes[0].trunk();
  socket.emit("after");
  assert.equal(textOf(await to.next("Send")), '2["after"]');
  assert.deepEqual(ends, []);
  to.stream.close(1008);
  await until(() => ends.length === 1);
});

for (const [what, frame, side] of [
  ["that left and arrives nowhere", left(), "from"],
  ["that is offered and does not leave", arrives(), "to"],
]) {
  test(`a session ${what} ends after some time`, async (t) => {
    const app = await start(t);
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const now = performance.now();
    t.mock.method(performance, "now", () => now);
    app[side].send(frame);
    await new Promise((resolve) => app[side].stream.ping(resolve));
    const { moves } = app.trunkline;
    while (moves.ways.size === 0) await new Promise(setImmediate);
    t.mock.timers.tick(9_999);
    assert.deepEqual(app.ends, []);
    performance.now.mock.mockImplementation(() => now + 10_001);
    t.mock.timers.tick(10);
    t.mock.timers.reset();
    assert.deepEqual([app.ends, moves.ways.size], [LOST, 0]);
    const close = await app.from.next("Close");
    assert.deepEqual([close.session, close.reason], [1, 6]);
    if (side === "to") assert.equal((await app.to.next("Close")).reason, 6);
  });
}
