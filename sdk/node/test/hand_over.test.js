// `io.close()` and `trunkline.close()` of an app server whose clients go to other app servers.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { test } from "node:test";
import { io as connect } from "socket.io-client";
import { unpack } from "../dist/esm/data/pack.js";
import { adoptFrame, REHOMES } from "./support/homes.js";
import { connectClient, startApp, types, until } from "./support/app.js";

const LEAVES = 4;
const HANDED_OVER = 15;
const SHUTTING_DOWN = 6;
const kinds = (trunk, ...names) => trunk.frames.filter(({ type }) => names.includes(type));
const closeOf = (session, reason) => ({ type: "Close", session, reason, description: "" });

/** Agrees to each session that asks to leave, as a node does. */
function agree(trunk, sessions = []) {
  const former = trunk.onFrame;
  trunk.onFrame = (frame) => {
    former?.(frame);
    if (frame.type !== "Standing" || !(frame.flags & LEAVES) || sessions.includes(frame.session)) return;
    sessions.push(frame.session);
    trunk.send(closeOf(frame.session, HANDED_OVER));
  };
  return sessions;
}

async function started(t, options = {}) {
  const app = await startApp(t, { ...REHOMES, ...options });
  app.connect = async (session, overrides) => {
    const socket = await connectClient(app.io, app.trunk, session, overrides);
    await app.trunk.settle();
    app.trunk.frames.length = 0;
    return socket;
  };
  return app;
}

const WAYS = { "io.close()": ({ io }) => io.close(), "trunkline.close()": ({ trunkline }) => trunkline.close() };
for (const [name, close] of Object.entries(WAYS)) {
  test(`${name} gives a client to another app server: its sockets end here, and live on`, async (t) => {
    const app = await started(t);
    const { io, trunk, trunkline } = app;
    const socket = await app.connect(1);
    socket.join(["r", "s"]);
    socket.data.step = 1;
    const events = [];
    socket.on("disconnecting", (reason, details) => {
      events.push(["disconnecting", reason, details, [...socket.rooms].length]);
      socket.leave("s");
      socket.data.step = 2;
    });
    socket.on("disconnect", (reason, details) => {
      events.push(["disconnect", reason, details, io.engine.clientsCount]);
      // For the client, wherever it is, and for everybody else.
      socket.emit("bye");
    });
    socket.conn.on("close", (reason, details) => events.push(["close", reason, details]));
    await trunk.settle();
    trunk.frames.length = 0;
    agree(trunk);
    let closed = false;
    const closing = close(app).then(() => (closed = true));
    const over = await trunk.next("Close");
    assert.equal(closed, false);
    await closing;
    assert.equal(await trunk.closed, 1000);
    assert.deepEqual([over.session, over.reason], [1, HANDED_OVER]);
    const gone = { rehomed: true };
    assert.deepEqual(events, [
      ["disconnecting", "server shutting down", gone, 3],
      ["disconnect", "server shutting down", gone, 1],
      ["close", "forced close", gone],
    ]);
    const [drain, standing, leave, state, bye] = trunk.frames.filter(({ type }) => type !== "Handled");
    assert.deepEqual(types([drain, standing, leave, state, bye]), ["Drain", "Standing", "Leave", "State", "Recorded"]);
    assert.deepEqual([standing.flags, leave.rooms, bye.rooms], [LEAVES, ["s"], [socket.id]]);
    assert.deepEqual([state.socket, state.pid, unpack(state.state).data], [socket.id, socket.pid, { step: 2 }]);
    assert.deepEqual(types(kinds(trunk, "Drain", "Detach", "Persist")), ["Drain"]);
    assert.deepEqual([trunkline.stats.handedOver, trunkline.stats.sessions], [1, 0]);
  });
}

test("a client that is owed an answer goes when it has it", async (t) => {
  const app = await started(t);
  const { io, trunk } = app;
  const socket = await app.connect(1);
  const idle = await app.connect(2);
  const asked = once(socket, "ask");
  trunk.text(1, '20["ask"]');
  const [answer] = await asked;
  const sessions = agree(trunk);
  const closing = io.close();
  await once(idle, "disconnect");
  assert.deepEqual([sessions, socket.connected], [[2], true]);
  answer("late");
  assert.equal((await trunk.next("Send")).payload.toString(), '30["late"]');
  await closing;
  assert.deepEqual(
    kinds(trunk, "Close").map(({ session, reason }) => [session, reason]),
    [
      [2, HANDED_OVER],
      [1, HANDED_OVER],
    ],
  );
});

test("what the node had sent before it agreed is handled here, with its answer", async (t) => {
  const app = await started(t);
  const { io, trunk } = app;
  const socket = await app.connect(1);
  socket.on("ask", (answer) => setTimeout(answer, 20, "done"));
  const closing = io.close();
  await trunk.next("Standing");
  trunk.send({ type: "Message", session: 1, flags: 0, payload: Buffer.from('20["ask"]') }, closeOf(1, HANDED_OVER));
  assert.equal((await trunk.next("Send")).payload.toString(), '30["done"]');
  await closing;
  assert.equal((await trunk.next("Close")).reason, HANDED_OVER);
  assert.equal(socket.connected, false);
});

const LATE = {
  "it is owed an answer for too long": (trunk) => {
    trunk.text(1, '20["ask"]');
    agree(trunk);
  },
  "the node does not agree": () => undefined,
};
const PACES = { paced: ["Persist", "Detach"], "at once": ["Persist", "Detach", "Close"] };
const CASES = Object.entries(LATE).flatMap(([name, prepare]) =>
  Object.entries(PACES).map(([close, frames]) => ({ name, prepare, close, frames })),
);
for (const { name, prepare, close, frames } of CASES) {
  test(`a client that does not go in time is disconnected as ever, ${close}: ${name}`, async (t) => {
    const app = await started(t, { options: { handOverTimeout: 50, close } });
    const { io, trunk } = app;
    const socket = await app.connect(1);
    socket.on("ask", () => undefined);
    prepare(trunk);
    await trunk.settle();
    const gone = once(socket, "disconnect");
    await io.close();
    assert.deepEqual(await gone, ["server shutting down", undefined]);
    assert.deepEqual(types(kinds(trunk, "Detach", "Persist", "Close")), frames);
    // At the end of the trunk the node must not find that anything is owed: it would take the session for one in doubt.
    if (close === "paced") assert.equal(kinds(trunk, "Standing").at(-1).flags, 0);
    else assert.equal((await trunk.next("Close")).reason, SHUTTING_DOWN);
  });
}

test("a packet of which the rest goes elsewhere: its client is disconnected at once", async (t) => {
  const app = await started(t);
  const { io, trunk } = app;
  const socket = await app.connect(1);
  const closing = io.close();
  await trunk.next("Standing");
  trunk.send(
    { type: "Message", session: 1, flags: 0, payload: Buffer.from('51-["b",{"_placeholder":true,"num":0}]') },
    closeOf(1, HANDED_OVER),
  );
  await closing;
  assert.deepEqual(types(kinds(trunk, "Persist", "Close")), ["Persist", "Close"]);
  assert.equal((await trunk.next("Close")).reason, SHUTTING_DOWN);
  assert.equal(socket.connected, false);
});

test("a client that leaves meanwhile", async (t) => {
  const app = await started(t);
  const { io, trunk, trunkline } = app;
  const socket = await app.connect(1);
  const gone = once(socket, "disconnect");
  const closing = io.close();
  await trunk.next("Standing");
  trunk.send(closeOf(1, 1));
  assert.equal((await gone)[0], "transport close");
  await closing;
  assert.deepEqual(types(kinds(trunk, "Persist", "Close")), ["Persist", "Close"]);
  assert.equal(trunkline.stats.handedOver, 0);
});

test("data that cannot leave the process at the end: the client is disconnected, and its former state not used", async (t) => {
  const app = await started(t);
  const { io, trunk, trunkline } = app;
  const socket = await app.connect(1);
  socket.on("disconnecting", () => (socket.data.socket = socket));
  agree(trunk);
  await io.close();
  assert.equal((await trunk.next("Close")).reason, SHUTTING_DOWN);
  assert.deepEqual(
    kinds(trunk, "State").map(({ state }) => state.length),
    [0],
  );
  assert.equal(trunkline.stats.handedOver, 0);
});

test("a handler that disconnects its socket itself has the last word", async (t) => {
  const app = await started(t);
  const { io, trunk } = app;
  const socket = await app.connect(1);
  socket.on("disconnecting", () => socket.conn.close());
  agree(trunk);
  await io.close();
  assert.deepEqual(
    kinds(trunk, "Close").map(({ reason }) => reason),
    [5],
  );
});

/** Connects clients of their own sessions, 1 and up. */
async function connectMany({ io, trunk }, count) {
  for (let session = 1; session <= count; session++) {
    trunk.open(session);
    trunk.text(session, "0");
  }
  await until(() => io.sockets.sockets.size === count);
  await trunk.settle();
  trunk.frames.length = 0;
}

test("sessions for which the node gives no answer do not keep the others here", { timeout: 20_000 }, async (t) => {
  const app = await started(t, { options: { handOverTimeout: 3_000 } });
  const { io, trunk } = app;
  await connectMany(app, 300);
  const sessions = [];
  const silent = new Set();
  trunk.onFrame = (frame) => {
    if (frame.type !== "Standing" || !(frame.flags & LEAVES)) return;
    if (silent.size < 256) return silent.add(frame.session);
    sessions.push(frame.session);
    trunk.send(closeOf(frame.session, HANDED_OVER));
  };
  void io.close();
  await until(() => sessions.length === 44);
  assert.deepEqual(
    sessions.filter((session) => silent.has(session)),
    [],
  );
  await app.trunkline.close({ rehome: false });
});

test("a session without a socket is not asked for until it has one, one without a state never", {
  timeout: 20_000,
}, async (t) => {
  const app = await started(t, { options: { handOverTimeout: 500 } });
  const { io, trunk } = app;
  const stuck = await app.connect(1);
  trunk.open(2);
  await trunk.next("Accept");
  await app.connect(3);
  const asked = once(stuck, "ask");
  trunk.text(1, '20["ask"]');
  const [answer] = await asked;
  const sessions = agree(trunk);
  const closing = io.close();
  await until(() => sessions.length === 1);
  // It had a state when the hand-over began.
  stuck.data.socket = stuck;
  await app.trunkline.save(stuck);
  answer();
  await trunk.settle();
  assert.deepEqual(sessions, [3]);
  trunk.text(2, "0");
  await until(() => sessions.length === 2);
  assert.deepEqual(sessions, [3, 2]);
  await closing;
  assert.deepEqual(
    kinds(trunk, "Close").map(({ session, reason }) => [session, reason]),
    [
      [3, HANDED_OVER],
      [2, HANDED_OVER],
    ],
  );
});

test("at most 256 sessions are under way", async (t) => {
  const app = await started(t);
  const { io, trunk } = app;
  await connectMany(app, 300);
  const closing = io.close();
  await trunk.settle();
  const asked = kinds(trunk, "Standing").map(({ session }) => session);
  assert.equal(asked.length, 256);
  for (const session of asked.slice(0, 10)) trunk.send(closeOf(session, HANDED_OVER));
  await until(() => kinds(trunk, "Close").length === 10);
  await trunk.settle();
  assert.equal(kinds(trunk, "Standing").length, 266);
  for (const session of asked.slice(10)) trunk.send(closeOf(session, HANDED_OVER));
  await until(() => kinds(trunk, "Standing").length === 300);
  for (const { session } of kinds(trunk, "Standing").slice(256)) trunk.send(closeOf(session, HANDED_OVER));
  await closing;
  assert.equal(kinds(trunk, "Close").filter(({ reason }) => reason === HANDED_OVER).length, 300);
});

test("a session that comes meanwhile goes, too", async (t) => {
  const app = await started(t);
  const { io, trunk } = app;
  await app.connect(1);
  const closing = io.close();
  await trunk.next("Standing");
  trunk.send(adoptFrame(2));
  const standing = await trunk.next("Standing");
  assert.deepEqual([standing.session, standing.flags], [2, LEAVES]);
  trunk.send(closeOf(1, HANDED_OVER), closeOf(2, HANDED_OVER));
  await closing;
  assert.deepEqual(
    kinds(trunk, "Close").map(({ session, reason }) => [session, reason]),
    [
      [1, HANDED_OVER],
      [2, HANDED_OVER],
    ],
  );
});

test("a session that the node gave before it knew that this app server leaves is handed on", async (t) => {
  const { io, trunk, trunkline } = await started(t);
  const sessions = agree(trunk);
  const closing = io.close();
  // On its way when the app server said that it leaves.
  trunk.send(adoptFrame(2));
  await closing;
  assert.deepEqual([sessions, trunkline.stats.handedOver], [[2], 1]);
});

test("`close({ rehome: false })` disconnects everybody at once, and ends a hand-over that is under way", async (t) => {
  for (const isUnderWay of [false, true]) {
    const app = await started(t);
    const { io, trunk, trunkline } = app;
    const socket = await app.connect(1);
    const gone = once(socket, "disconnect");
    const first = isUnderWay ? io.close() : undefined;
    if (isUnderWay) await trunk.next("Standing");
    await trunkline.close({ rehome: false });
    await first;
    assert.equal((await gone)[0], "forced close");
    assert.deepEqual(types(kinds(trunk, "Standing", "Persist", "Close")), ["Persist", "Close"]);
  }
});

test("`io.close()` twice, with a callback and direct clients", async (t) => {
  const http = createServer();
  const app = await started(t, { prepare: (io) => io.attach(http) });
  const { io, trunk } = app;
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const direct = connect(`http://127.0.0.1:${http.address().port}`, { transports: ["websocket"], reconnection: false });
  t.after(() => direct.close());
  await once(direct, "connect");
  const socket = await app.connect(1);
  const order = [];
  const directSocket = [...io.sockets.sockets.values()].find((each) => each !== socket);
  socket.on("disconnect", (reason, details) => order.push(["trunk", reason, details]));
  directSocket.on("disconnect", (reason, details) => order.push(["direct", reason, details]));
  agree(trunk);
  const first = io.close((error) => order.push(["first", error]));
  const second = io.close((error) => order.push(["second", error?.code]));
  await Promise.all([first, second]);
  assert.deepEqual(order.slice(0, 2), [
    ["trunk", "server shutting down", { rehomed: true }],
    ["direct", "server shutting down", undefined],
  ]);
  assert.deepEqual(order.slice(2).sort(), [
    ["first", undefined],
    ["second", "ERR_SERVER_NOT_RUNNING"],
  ]);
  assert.equal(kinds(trunk, "Close").length, 1);
});

for (const [why, options] of [
  ["rehome: false", { options: { rehome: false } }],
  ["a node of an earlier release", { node: {} }],
]) {
  test(`without clients to give, \`io.close()\` ends its sockets before it returns, as in Socket.IO: ${why}`, async (t) => {
    const app = await started(t, options);
    const socket = await app.connect(1);
    void app.io.close();
    assert.equal(socket.connected, false);
  });
}

test("a handler that throws ends neither the hand-over nor the sockets after it", async (t) => {
  const app = await started(t);
  const { io, trunk } = app;
  await app.connect(1);
  const other = await app.connect(2);
  const [first] = io.sockets.sockets.values();
  first.on("disconnect", () => {
    throw new Error("in a handler");
  });
  const thrown = new Promise((resolve) => {
    const listeners = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.once("uncaughtException", (error) => {
      for (const listener of listeners) process.on("uncaughtException", listener);
      resolve(error.message);
    });
  });
  agree(trunk);
  await io.close();
  assert.equal(await thrown, "in a handler");
  assert.equal(other.connected, false);
  assert.deepEqual(
    kinds(trunk, "Close").map(({ reason }) => reason),
    [HANDED_OVER, HANDED_OVER],
  );
});

test("a session that is still being adopted at the end of the time is given back to its node", async (t) => {
  const app = await startApp(t, {
    ...REHOMES,
    io: { connectionStateRecovery: { skipMiddlewares: false } },
    options: { handOverTimeout: 50 },
  });
  const { io, trunk } = app;
  io.use(() => undefined);
  trunk.send(adoptFrame(7));
  await trunk.settle();
  await io.close();
  const { session, reason } = await trunk.next("Close");
  assert.deepEqual([session, reason], [7, HANDED_OVER]);
  assert.deepEqual(kinds(trunk, "Persist", "Detach"), []);
});

test("a node that agrees to nothing is not asked for each of very many sessions", { timeout: 20_000 }, async (t) => {
  const app = await started(t, { options: { handOverTimeout: 60_000 } });
  const { io, trunk } = app;
  await connectMany(app, 1_100);
  await io.close();
  const asked = kinds(trunk, "Standing").filter(({ flags }) => flags === LEAVES);
  assert.ok(asked.length >= 512 && asked.length < 1_100, `${asked.length} were asked for`);
  assert.equal(kinds(trunk, "Persist").length, 1_100);
});
