// Operations on sockets that belong to no app server: they go to the nodes, too, and come back from them.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { adoptClient, adoptFrame, guest, HOMES, REHOMES } from "./support/homes.js";
import { connectClient, startApp, startCluster, until } from "./support/app.js";

const info = JSON.parse(HOMES.welcome.info);
const OPERATES = {
  ...REHOMES,
  node: { welcome: { info: JSON.stringify({ ...info, frames: [...info.frames, "Operate"] }) } },
};
const operations = (trunk) =>
  trunk.frames
    .filter(({ type }) => type === "Operate")
    .map(({ nsp, op, rooms, except, args }) => [nsp, op, rooms, except, args]);

async function started(t, options = OPERATES) {
  const app = await startApp(t, options);
  /** Says whether there are such sockets. */
  app.say = async (waiting) => {
    app.trunk.send({ type: "Unhomed", waiting });
    await app.trunk.settle();
    app.trunk.frames.length = 0;
  };
  return app;
}

test("while the node says so, operations on all sockets go there, and no local ones", async (t) => {
  const { io, trunk, say } = await started(t);
  assert.equal(JSON.parse(trunk.hello.settings).operates, true);
  const all = () => {
    io.in(["red", 5]).except("blue").socketsJoin(["green", 6]);
    io.socketsLeave("green");
    io.of("/chat").in("red").disconnectSockets();
    io.in("red").disconnectSockets(true);
    io.local.in("red").socketsJoin("local");
    io.local.disconnectSockets(true);
  };
  all();
  await trunk.settle();
  assert.deepEqual(operations(trunk), [], "nobody has said that there are any");
  await say(1);
  all();
  await trunk.settle();
  assert.deepEqual(operations(trunk), [
    ["/", 1, ["red", "\0n5"], ["blue"], ["green", "\0n6"]],
    ["/", 2, [], [], ["green"]],
    ["/chat", 3, ["red"], [], []],
    ["/", 4, ["red"], [], []],
  ]);
  await say(0);
  all();
  await trunk.settle();
  assert.deepEqual(operations(trunk), []);
});

test("an operation keeps its place among broadcasts", async (t) => {
  const { io, trunk, say } = await started(t);
  await say(1);
  io.emit("before");
  io.socketsJoin("red");
  io.to("red").emit("behind");
  await trunk.settle();
  const seen = trunk.frames.map(({ type }) => type).filter((type) => type === "Recorded" || type === "Operate");
  assert.deepEqual(seen, ["Recorded", "Operate", "Recorded"]);
});

test("a node that does not list the frame gets none", async (t) => {
  const { io, trunk, say } = await started(t, REHOMES);
  await say(1);
  io.socketsJoin("red");
  await trunk.settle();
  assert.deepEqual(operations(trunk), []);
});

test("an app without recovery does not say that it takes them", async (t) => {
  const { trunk } = await startApp(t, {});
  assert.equal(JSON.parse(trunk.hello.settings).operates, undefined);
});

test("an operation that is too long for the node is reported, and others go on", async (t) => {
  const { io, trunk, trunkline, warnings, say } = await started(t);
  await say(1);
  io.in(Array.from({ length: 100 }, (_, index) => `${index}`.padEnd(10_000, "x"))).socketsJoin("red");
  io.socketsJoin("green");
  await trunk.settle();
  assert.deepEqual(operations(trunk), [["/", 1, [], [], ["green"]]]);
  assert.equal(trunkline.stats.tooLong, 1);
  assert.match(warnings.join(), /passed over those that wait/);
});

test("what the node passes on is done to the sockets with these ids, and to no others", async (t) => {
  const { io, trunk } = await started(t);
  const socket = await adoptClient(io, trunk, 7, { sockets: [guest({ rooms: ["red"] })] });
  const other = await connectClient(io, trunk, 8);
  // A room with the name of the socket's id, as any app may have.
  other.join(socket.id);
  await trunk.settle();
  trunk.frames.length = 0;
  const operate = (op, args) => trunk.send({ type: "Operate", nsp: "/", op, rooms: [socket.id], except: [], args });
  operate(1, ["green", "\0n6"]);
  operate(2, ["red"]);
  await trunk.settle();
  assert.deepEqual([...socket.rooms], [socket.id, "green", 6]);
  assert.deepEqual([...other.rooms], [other.id, socket.id]);
  const told = trunk.frames.filter(({ type }) => type === "Join" || type === "Leave");
  assert.deepEqual(
    told.map(({ type, session, rooms }) => [type, session, rooms]),
    [
      ["Join", 7, ["green", "\0n6"]],
      ["Leave", 7, ["red"]],
    ],
  );
  const gone = once(socket, "disconnect");
  operate(3, []);
  assert.equal((await gone)[0], "server namespace disconnect");
  await trunk.settle();
  assert.deepEqual([socket.conn.readyState, other.connected], ["open", true]);
  assert.ok(
    trunk.frames.some(({ type, session, payload }) => type === "Send" && session === 7 && `${payload}` === "1"),
  );
});

test("a socket is disconnected together with its connection, and one that is not there is no fault", async (t) => {
  const { io, trunk } = await started(t);
  const socket = await adoptClient(io, trunk, 7);
  const ended = once(socket.conn, "close");
  trunk.send(
    { type: "Operate", nsp: "/unknown", op: 4, rooms: [socket.id], except: [], args: [] },
    { type: "Operate", nsp: "/", op: 4, rooms: ["unknown", socket.id], except: [], args: [] },
  );
  await ended;
  assert.equal(socket.connected, false);
});

const operate = (op, rooms, args) => ({ type: "Operate", nsp: "/", op, rooms, except: [], args });

test("what is called while a socket is on its way here is done to it in the end, in order", async (t) => {
  const app = await startApp(t, { ...OPERATES, io: { connectionStateRecovery: { skipMiddlewares: false } } });
  const { io, trunk } = app;
  let goOn;
  io.use((_socket, next) => (goOn = next));
  const arrived = once(io, "connection");
  // The node had seen this one before it offered the session.
  io.in("red").socketsJoin("just before");
  trunk.send(adoptFrame(7, { sockets: [guest({ rooms: ["red"] })] }));
  await until(() => goOn !== undefined);
  io.in("red").socketsJoin("green");
  io.in("green").socketsJoin(["blue", 5]);
  io.in(5).socketsLeave("red");
  io.except("green").disconnectSockets();
  goOn();
  const [socket] = await arrived;
  assert.equal(socket.connected, true);
  await trunk.next("Accept");
  assert.deepEqual([...socket.rooms].sort(), [socket.id, "green", "blue", 5].sort());
  // The node could not know that we had done these, and in which order.
  io.socketsLeave("green");
  trunk.send(operate(1, [socket.id], ["green"]), operate(1, [socket.id], ["only there"]));
  await trunk.settle();
  assert.deepEqual([...socket.rooms].sort(), [socket.id, "only there", "blue", 5].sort());
});

test("what another app server calls while a socket is on its way here is done to it, too", async (t) => {
  const { apps } = await startCluster(t, { io: () => ({ connectionStateRecovery: { skipMiddlewares: false } }) });
  const [{ io, trunk }, other] = apps;
  let goOn;
  io.use((_socket, next) => (goOn = next));
  const arrived = once(io, "connection");
  trunk.send(adoptFrame(7, { sockets: [guest({ rooms: ["\0n5"] })] }));
  await until(() => goOn !== undefined);
  other.io.in(5).socketsJoin(["green", 6]);
  other.io.socketsLeave("green");
  const relays = () => other.trunk.frames.filter(({ type }) => type === "Relay").length;
  await until(() => relays() === 2);
  await trunk.settle();
  goOn();
  const [socket] = await arrived;
  await trunk.next("Accept");
  assert.deepEqual([...socket.rooms], [socket.id, 5, 6]);
});

test("a hand-over begins when the other app servers have had time to learn of it", async (t) => {
  const { io, trunk } = await started(t);
  await connectClient(io, trunk, 1);
  await trunk.settle();
  const begun = performance.now();
  let asked;
  trunk.onFrame = (frame) => {
    if (frame.type !== "Standing" || !(frame.flags & 4)) return;
    asked = performance.now();
    trunk.send({ type: "Close", session: 1, reason: 15, description: "" });
  };
  await io.close();
  assert.ok(asked - begun >= 90, `${asked - begun} ms`);
});

test("a hand-over with nobody to hand over is over at once", { timeout: 20_000 }, async (t) => {
  const { io, trunk } = await started(t);
  await io.close();
  await trunk.closed;
});
