import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { connectClient, startApp, types } from "./support/app.js";

test("rooms read at once what was done, and the node is told in the same order", async (t) => {
  const { io, trunk } = await startApp(t);
  const socket = await connectClient(io, trunk, 1);
  await trunk.settle();
  trunk.frames.length = 0;
  socket.join(["a", "b"]);
  assert.deepEqual([...socket.rooms], [socket.id, "a", "b"]);
  socket.join("a");
  socket.join(["b", "c"]);
  socket.leave("a");
  socket.leave("never");
  assert.deepEqual([...io.of("/").adapter.rooms.keys()], [socket.id, "b", "c"]);
  assert.deepEqual([...io.of("/").adapter.sids.get(socket.id)], [socket.id, "b", "c"]);
  io.socketsJoin("all");
  io.in("c").socketsLeave("b");
  socket.disconnect();
  assert.deepEqual([...io.of("/").adapter.rooms.keys()], []);
  await trunk.settle();
  assert.deepEqual(
    trunk.frames.map(({ type, rooms }) => [type, rooms]),
    [
      ["Join", ["a", "b"]],
      ["Join", ["c"]],
      ["Leave", ["a"]],
      ["Join", ["all"]],
      ["Leave", ["b"]],
      ["Send", undefined],
      ["Detach", undefined],
    ],
  );
});

test("rooms joined in a middleware go along with Attach, which precedes the CONNECT packet", async (t) => {
  const { io, trunk } = await startApp(t);
  io.use((socket, next) => {
    socket.join(["early", 5]);
    next();
  });
  const socket = await connectClient(io, trunk, 1);
  assert.deepEqual([...socket.rooms], ["early", 5, socket.id]);
  const attach = await trunk.next("Attach");
  assert.deepEqual([attach.session, attach.socket, attach.rooms], [1, socket.id, ["early", "\0n5"]]);
  assert.deepEqual(types(trunk.batches.flat().slice(-3)), ["Namespace", "Attach", "Send"]);
});

test("a socket whose middleware refused it is never attached", async (t) => {
  const { io, trunk } = await startApp(t);
  io.use((socket, next) => {
    socket.join("early");
    next(new Error("not you"));
  });
  trunk.open(1);
  trunk.text(1, "0");
  assert.equal((await trunk.next("Send")).payload.toString(), '4{"message":"not you"}');
  await trunk.settle();
  assert.deepEqual(types(trunk.frames), ["Accept"]);
  assert.equal(io.of("/").adapter.rooms.size, 0);
});

test("a broadcast is one frame, whoever receives it", async (t) => {
  const { io, trunk } = await startApp(t);
  const sockets = [];
  for (let session = 1; session <= 5; session++) sockets.push(await connectClient(io, trunk, session));
  await trunk.settle();
  trunk.frames.length = 0;
  io.to("a").to("b").except(["c", sockets[0].id]).emit("x", 1);
  sockets[1].broadcast.volatile.emit("y");
  io.local.compress(false).emit("z", Buffer.from("bin"));
  io.of("/admin").emit("w");
  await trunk.settle();
  const [nsp, ...broadcasts] = [
    trunk.frames.find((frame) => frame.type === "Namespace"),
    ...trunk.frames.filter((frame) => frame.type === "Broadcast"),
  ];
  assert.deepEqual([nsp.nsp, nsp.name], [1, "/admin"]);
  assert.deepEqual(
    broadcasts.map(({ nsp: number, flags, rooms, except, parts }) => [
      number,
      flags,
      rooms,
      except,
      parts.map(({ kind, data }) => [kind, data.toString()]),
    ]),
    [
      [0, 8, ["a", "b"], ["c", sockets[0].id], [[0, '2["x",1]']]],
      [0, 8 | 1, [], [sockets[1].id], [[0, '2["y"]']]],
      [
        0,
        2,
        [],
        [],
        [
          [0, '51-["z",{"_placeholder":true,"num":0}]'],
          [1, "bin"],
        ],
      ],
      [1, 8, [], [], [[0, '2/admin,["w"]']]],
    ],
  );
  assert.deepEqual(
    types(trunk.frames).filter((type) => type === "Send"),
    [],
  );
});

test("each namespace is named once", async (t) => {
  const { io, trunk } = await startApp(t);
  io.of("/n");
  for (let index = 0; index < 3; index++) {
    io.emit("x");
    io.of("/n").emit("x");
  }
  await trunk.settle();
  assert.deepEqual(
    trunk.frames.filter((frame) => frame.type === "Namespace").map(({ nsp, name }) => [nsp, name]),
    [
      [0, "/"],
      [1, "/n"],
    ],
  );
});

test("one session in two namespaces is two sockets", async (t) => {
  const { io, trunk } = await startApp(t);
  const admin = once(io.of(/^\/dyn-\d+$/), "connection");
  await connectClient(io, trunk, 1);
  trunk.text(1, "0/dyn-7,");
  const [socket] = await admin;
  socket.join("r");
  await trunk.settle();
  assert.deepEqual(
    trunk.frames
      .filter(({ type }) => type === "Attach" || type === "Join")
      .map(({ type, session, nsp }) => [type, session, nsp]),
    [
      ["Attach", 1, 0],
      ["Attach", 1, 1],
      ["Join", 1, 1],
    ],
  );
});

test("listeners for outgoing packets hear the broadcasts that reach their socket", async (t) => {
  const { io, trunk } = await startApp(t);
  const heard = [];
  io.use((socket, next) => {
    if (socket.handshake.query.listen) socket.onAnyOutgoing((...args) => heard.push(["middleware", ...args]));
    next();
  });
  const [one, two] = [
    await connectClient(io, trunk, 1),
    await connectClient(io, trunk, 2, { url: "/socket.io/?EIO=4&transport=polling&listen=1" }),
  ];
  one.prependAnyOutgoing((...args) => heard.push(["one", ...args]));
  one.join("r");
  io.to("r").emit("x", 1);
  io.except("r").emit("y");
  one.disconnect();
  io.emit("z");
  assert.deepEqual(heard, [
    ["one", "x", 1],
    ["middleware", "y"],
    ["middleware", "z"],
  ]);
  two.offAnyOutgoing();
  io.emit("w");
  assert.equal(heard.length, 3);
});

test("`packetCreate` comes for broadcasts, too, to the connections that they reach", async (t) => {
  const { io, trunk } = await startApp(t);
  const heard = [];
  const listener =
    (who) =>
    ({ data, options }) =>
      heard.push([who, data, options.compress, options.wsPreEncodedFrame?.length]);
  io.engine.on(
    "connection",
    (conn) => conn.request.url.includes("early") && conn.prependListener("packetCreate", listener("early")),
  );
  const [one] = [
    await connectClient(io, trunk, 1),
    await connectClient(io, trunk, 2),
    await connectClient(io, trunk, 3, { url: "/socket.io/?EIO=4&transport=polling&early=1" }),
  ];
  heard.length = 0;
  one.conn.on("packetCreate", listener("one"));
  one.conn.addListener("other", () => undefined);
  one.join("r");
  io.to("r").emit("x", 1);
  io.except("r").compress(false).emit("y", Buffer.from("1"));
  io.timeout(1).emit("z", () => undefined);
  assert.deepEqual(heard, [
    ["one", '2["x",1]', true, 2],
    ["early", '51-["y",{"_placeholder":true,"num":0}]', false, undefined],
    ["early", Buffer.from("1"), false, undefined],
    ["one", '20["z"]', true, 2],
    ["early", '20["z"]', true, 2],
  ]);
  one.conn.removeAllListeners("packetCreate");
  io.to("r").emit("w");
  one.disconnect(true);
  io.to("r").emit("w");
  assert.equal(heard.length, 5);
});

test("adapter events fire once for each change", async (t) => {
  const { io, trunk } = await startApp(t);
  const log = [];
  for (const event of ["create-room", "join-room", "leave-room", "delete-room"])
    io.of("/").adapter.on(event, (room) => log.push(`${event} ${room}`));
  const socket = await connectClient(io, trunk, 1);
  log.length = 0;
  socket.join("r");
  socket.join("r");
  socket.leave("r");
  assert.deepEqual(log, ["create-room r", "join-room r", "leave-room r", "delete-room r"]);
});
