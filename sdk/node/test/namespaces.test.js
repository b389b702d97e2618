// Numbers of namespaces are given back, a namespace too many costs its clients only, and two sockets of one session
// stay apart.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { connectClient, startApp, until } from "./support/app.js";

const info = (more) => ({ welcome: { info: JSON.stringify({ node: "n1", version: "0", warnings: [], ...more }) } });
const NEW = { frames: ["Release", "Beside", "Choose"] };
const kept = ({ type }) =>
  ["Namespace", "Release", "Attach", "Beside", "Choose", "Detach", "Join", "Leave", "Close"].includes(type);
const said = (trunk) =>
  trunk.frames
    .filter(kept)
    .map(({ type, ...frame }) => [type, frame.nsp ?? frame.session, frame.name ?? frame.socket ?? frame.rooms]);

test("a namespace per visitor needs one number", async (t) => {
  const { io, trunk } = await startApp(t, {
    io: { cleanupEmptyChildNamespaces: true },
    node: info({ ...NEW, namespaces_max: 2 }),
  });
  await connectClient(io, trunk, 1);
  const visitors = io.of(/^\/visitor-/);
  await trunk.settle();
  trunk.frames.length = 0;
  for (let turn = 0; turn < 5; turn++) {
    const entered = once(visitors, "connection");
    trunk.text(1, `0/visitor-${turn},`);
    const [socket] = await entered;
    const left = once(socket, "disconnect");
    trunk.text(1, `1/visitor-${turn},`);
    await left;
    await trunk.settle();
  }
  assert.deepEqual(
    said(trunk).map(([type, nsp]) => [type, nsp]),
    Array.from({ length: 5 }, () => [
      ["Namespace", 1],
      ["Attach", 1],
      ["Detach", 1],
      ["Release", 1],
    ]).flat(),
  );
});

test("a node that takes no number back is not asked to", async (t) => {
  const { io, trunk } = await startApp(t, { io: { cleanupEmptyChildNamespaces: true } });
  await connectClient(io, trunk, 1);
  const visitors = io.of(/^\/visitor-/);
  for (let turn = 0; turn < 2; turn++) {
    const entered = once(visitors, "connection");
    trunk.text(1, "0/visitor-1,");
    const [socket] = await entered;
    const left = once(socket, "disconnect");
    trunk.text(1, "1/visitor-1,");
    await left;
  }
  await trunk.settle();
  assert.deepEqual(
    said(trunk).filter(([type]) => type === "Namespace" || type === "Release"),
    [
      ["Namespace", 0, "/"],
      ["Namespace", 1, "/visitor-1"],
    ],
  );
});

test("the number of a namespace goes back only when its last socket has left, whoever closes its adapter", async (t) => {
  const { io, trunk } = await startApp(t, { node: info(NEW) });
  const socket = await connectClient(io, trunk, 1);
  await trunk.settle();
  trunk.frames.length = 0;
  io.of("/").adapter.close();
  io.emit("still there");
  await trunk.settle();
  assert.deepEqual(said(trunk), []);
  socket.disconnect();
  await trunk.settle();
  assert.deepEqual(
    said(trunk).map(([type]) => type),
    ["Detach", "Release"],
  );
});

test("a namespace too many: its client is closed, its broadcasts are not sent, and the trunk goes on", async (t) => {
  const { io, trunk, trunkline, warnings } = await startApp(t, { node: info({ ...NEW, namespaces_max: 2 }) });
  const spaces = io.of(/^\/s/);
  const first = await connectClient(io, trunk, 1);
  trunk.text(1, "0/s1,");
  await trunk.next("Send");
  await trunk.connect(2);
  const ended = new Promise((resolve) => spaces.once("connection", (socket) => socket.on("disconnect", resolve)));
  trunk.text(2, "0/s2,");
  assert.equal(await ended, "forced close");
  assert.equal((await trunk.next("Close")).session, 2);
  io.of("/s3").emit("to nobody");
  io.emit("to all");
  await trunk.settle();
  assert.ok(first.connected);
  assert.deepEqual(
    trunk.frames.filter(({ type }) => type === "Broadcast").map(({ nsp }) => nsp),
    [0],
  );
  assert.equal(trunkline.stats.unsent, 2);
  assert.equal(warnings.filter((sentence) => sentence.includes("no more than 2 namespaces")).length, 1);
});

test("two sockets of one session in one namespace: every frame says which it is about", async (t) => {
  const { io, trunk } = await startApp(t, { node: info(NEW) });
  const sockets = [];
  io.on("connection", (socket) => sockets.push(socket));
  trunk.open(1);
  trunk.text(1, "0", "0");
  await until(() => sockets.length === 2);
  await trunk.settle();
  const [a, b] = sockets;
  trunk.frames.length = 0;
  a.join("r");
  b.join("s");
  a.leave("r");
  a.disconnect();
  b.join("alone");
  await trunk.settle();
  assert.deepEqual(said(trunk), [
    ["Choose", 0, a.id],
    ["Join", 0, ["r"]],
    ["Choose", 0, b.id],
    ["Join", 0, ["s"]],
    ["Choose", 0, a.id],
    ["Leave", 0, ["r"]],
    ["Choose", 0, a.id],
    ["Detach", 0, undefined],
    ["Join", 0, ["alone"]],
  ]);
});

test("two sockets of one session at a node that knows one: a warning", async (t) => {
  const { io, trunk, warnings } = await startApp(t);
  const sockets = [];
  io.on("connection", (socket) => sockets.push(socket));
  trunk.open(1);
  trunk.text(1, "0", "0");
  await until(() => sockets.length === 2);
  sockets[0].join("r");
  await trunk.settle();
  assert.deepEqual(
    said(trunk).map(([type]) => type),
    ["Namespace", "Attach", "Attach", "Join"],
  );
  assert.match(warnings.join(), /too old for two sockets/);
});

test("a client with more sockets than any client needs is closed", async (t) => {
  const { io, trunk } = await startApp(t, { node: info(NEW) });
  io.of(/^\/s/);
  trunk.open(1);
  const packets = Array.from({ length: 4_097 }, (_, number) => `0/s${number},`);
  trunk.text(1, ...packets);
  const close = await trunk.next("Close");
  assert.equal(close.session, 1);
});

test("rooms that do not fit into one frame go in several, and what the app answers too long is answered for it", async (t) => {
  const { io, trunk, warnings } = await startApp(t, {
    node: { welcome: { ...info(NEW).welcome, batchBytesMax: 1024 } },
  });
  io.engine.use((_request, response, next) => (response.setHeader("x-long", "x".repeat(2000)), next()));
  const many = Array.from({ length: 100 }, (_, number) => `room ${number} ${"x".repeat(20)}`);
  io.use((socket, next) => (socket.join(many), next()));
  const socket = await connectClient(io, trunk, 1);
  socket.join(["y".repeat(2000), "short", ...many.map((room) => room + "2")]);
  await trunk.settle();
  const joined = trunk.frames.filter(({ type }) => type === "Attach" || type === "Join").flatMap(({ rooms }) => rooms);
  assert.deepEqual(joined.sort(), [...many, "short", ...many.map((room) => room + "2")].sort());
  assert.match(warnings.join(), /headers for a client's handshake/);
  assert.match(warnings.join(), /a room's name of 2000/);
  for (const batch of trunk.batches) assert.ok(batch.length > 0);
});
