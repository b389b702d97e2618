import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { captureConsole, connectClient, startApp, types, until } from "./support/app.js";
import { openFrame } from "./support/fake-node.js";

// As in `spec/trunk.md`, section 2.
const POLLING = 1;
const WEBSOCKET = 2;

const REASONS = [
  [1, "transport close"],
  [2, "transport error"],
  [3, "ping timeout"],
  [4, "parse error"],
  [5, "forced close"],
  [6, "server shutting down"],
  [7, "transport close"],
  [8, "transport error"],
  [9, "transport close"],
  [12, "transport close"],
  [13, "parse error"],
  [200, "transport error"],
];
for (const [reason, words] of REASONS) {
  test(`Close with reason ${reason} is "${words}", and is answered`, async (t) => {
    const { io, trunk } = await startApp(t);
    const socket = await connectClient(io, trunk, 9);
    const disconnected = once(socket, "disconnect");
    trunk.send({ type: "Close", session: 9, reason, description: "why" });
    const [seen, description] = await disconnected;
    assert.equal(seen, words);
    assert.equal(description?.message, words === "transport error" ? "why" : undefined);
    const { session } = await trunk.next("Close");
    assert.equal(session, 9);
    assert.equal(io.engine.clientsCount, 0);
    assert.ok(!types(trunk.frames).includes("Detach"), "the end of the session ends its sockets");
  });
}

test("after the app's Close the node's late frames are ignored, until its Close frees the number", async (t) => {
  const { io, trunk } = await startApp(t);
  const socket = await connectClient(io, trunk, 1);
  const events = [];
  socket.onAny((event) => events.push(event));
  socket.disconnect(true);
  assert.equal((await trunk.next("Send")).payload.toString(), "1");
  assert.equal((await trunk.next("Close")).reason, 5);
  trunk.text(1, '2["late"]');
  trunk.send({ type: "Upgraded", session: 1, transport: 2 });
  trunk.send({ type: "Close", session: 1, reason: 1, description: "" });
  await trunk.settle();
  assert.deepEqual(events, []);
  assert.deepEqual(
    trunk.frames.filter((frame) => frame.type === "Close" || frame.type === "Error"),
    [],
  );
  await connectClient(io, trunk, 1);
});

test("a number that is in use may not be opened", async (t) => {
  const { io, trunk } = await startApp(t);
  const socket = await connectClient(io, trunk, 1);
  socket.disconnect(true);
  trunk.open(1);
  assert.equal((await trunk.next("Error")).code, 1);
});

test("numbers of sessions may lie as far apart as numbers go", async (t) => {
  const { io, trunk } = await startApp(t);
  const numbers = [0, 3, 0xffff_fffe, 0xffff_ffff];
  const ended = [];
  for (const number of numbers) {
    const socket = await connectClient(io, trunk, number);
    socket.on("which", (answer) => answer(number));
    socket.on("disconnect", (reason) => ended.push([number, reason]));
  }
  for (const number of numbers) {
    trunk.text(number, '20["which"]');
    const { session, payload } = await trunk.next("Send");
    assert.deepEqual([session, payload.toString()], [number, `30[${number}]`]);
  }
  trunk.send({ type: "Close", session: 0xffff_ffff, reason: 1, description: "" });
  await trunk.next("Close");
  trunk.stream.terminate();
  await until(() => ended.length === numbers.length);
  assert.deepEqual(ended.sort(), numbers.map((number) => [number, "transport close"]).sort());
  assert.equal(io.engine.clientsCount, 0);
});

test("a rejected number is free at once, and a Close that crossed the Reject is ignored", async (t) => {
  const { trunk } = await startApp(t, { io: { allowRequest: (_request, done) => done("no", false) } });
  trunk.open(1);
  await trunk.next("Reject");
  trunk.send({ type: "Close", session: 1, reason: 11, description: "" });
  trunk.open(1);
  await trunk.next("Reject");
  await trunk.settle();
  assert.deepEqual(trunk.frames, []);
});

test("a client that leaves during its handshake is answered with Close and never seen by the app", async (t) => {
  let decide;
  const { io, trunk } = await startApp(t, { io: { allowRequest: (_request, done) => (decide = done) } });
  let connections = 0;
  io.engine.on("connection", () => connections++);
  trunk.open(3);
  await trunk.settle();
  trunk.send({ type: "Close", session: 3, reason: 11, description: "" });
  assert.equal((await trunk.next("Close")).session, 3);
  decide(null, true);
  await trunk.settle();
  assert.deepEqual([connections, types(trunk.frames)], [0, []]);
});

test("a Message before Accept breaks the protocol", async (t) => {
  const { trunk } = await startApp(t, { io: { allowRequest: () => undefined } });
  trunk.open(3);
  trunk.text(3, "0");
  assert.match((await trunk.next("Error")).message, /before its Accept/);
});

test("what a handler throws is reported as uncaught and takes nothing with it", async (t) => {
  const { io, trunk } = await startApp(t);
  const socket = await connectClient(io, trunk, 1);
  const thrown = [];
  process.setUncaughtExceptionCaptureCallback((error) => thrown.push(error.message));
  t.after(() => process.setUncaughtExceptionCaptureCallback(null));
  const got = [];
  socket.conn.on("data", (data) => {
    got.push(data);
    if (data.includes("boom")) throw new Error("boom");
  });
  trunk.text(1, '2["boom"]', '2["after"]');
  await once(socket, "after");
  assert.deepEqual([got, thrown], [['2["boom"]', '2["after"]'], ["boom"]]);
});

test("all that came in one batch is handed over in one turn, in order", async (t) => {
  const { io, trunk } = await startApp(t);
  const first = await connectClient(io, trunk, 1);
  const second = await connectClient(io, trunk, 2);
  const log = [];
  for (const [name, socket] of [
    ["a", first],
    ["b", second],
  ]) {
    socket.conn.on("data", (data) => {
      if (log.length === 0) setImmediate(() => log.push("next turn"));
      log.push(name + data);
    });
  }
  const message = (session, text) => ({ type: "Message", session, flags: 0, payload: Buffer.from(text) });
  trunk.send(message(1, '2["x"]'), message(2, '2["y"]'), message(1, '2["z"]'));
  await once(first, "z");
  await trunk.settle();
  assert.deepEqual(log, ['a2["x"]', 'b2["y"]', 'a2["z"]', "next turn"]);
});

test("binary arrives as a Buffer and leaves as bytes", async (t) => {
  const { io, trunk } = await startApp(t);
  const socket = await connectClient(io, trunk, 1);
  socket.on("pic", (picture, done) => done({ echoed: picture, part: new Uint16Array([1, 2]) }));
  trunk.send(
    { type: "Message", session: 1, flags: 0, payload: Buffer.from('51-0["pic",{"_placeholder":true,"num":0}]') },
    { type: "Message", session: 1, flags: 1, payload: Buffer.from([1, 2, 255]) },
  );
  const head = await trunk.next("Send");
  const [one, two] = [await trunk.next("Send"), await trunk.next("Send")];
  assert.match(head.payload.toString(), /^62-0\[/);
  assert.deepEqual([one.flags & 1, [...one.payload], [...two.payload]], [1, [1, 2, 255], [1, 0, 2, 0]]);
});

test("a message that no batch can hold ends the session and says so", async (t) => {
  const { io, trunk, warnings, trunkline } = await startApp(t, { node: { welcome: { batchBytesMax: 2048 } } });
  const socket = await connectClient(io, trunk, 1);
  const disconnected = once(socket, "disconnect");
  socket.emit("big", "x".repeat(3000));
  assert.equal((await disconnected)[0], "transport error");
  assert.equal((await trunk.next("Close")).session, 1);
  io.emit("big", "x".repeat(3000));
  assert.equal(warnings.length, 2);
  assert.equal(trunkline.stats.tooLong, 2);
});

test("`io.close()` ends sessions here and leaves them to the node: drain, then the trunk's end; what they still say is heard by nobody", async (t) => {
  const { io, trunk, trunkline } = await startApp(t);
  const sockets = [await connectClient(io, trunk, 4), await connectClient(io, trunk, 5)];
  const heard = [];
  for (const socket of sockets) socket.on("too late", () => heard.push(socket.id));
  const reasons = Promise.all(sockets.map((socket) => once(socket, "disconnect")));
  sockets[0].emit("last words");
  io.close();
  assert.deepEqual(
    (await reasons).map(([reason]) => reason),
    ["server shutting down", "server shutting down"],
  );
  assert.equal(trunkline.stats.sessions, 0);
  trunk.text(4, '2["too late"]');
  trunk.send({ type: "Close", session: 5, reason: 1, description: "" });
  assert.equal(await trunk.closed, 1000);
  const tail = trunk.frames.filter((frame) => ["Send", "Drain", "Close", "Error"].includes(frame.type));
  assert.deepEqual([types(tail), heard], [["Send", "Drain"], []]);
});

test('with `close: "at once"` a session ends with `io.close()`: drain, Close with reason 6, then the trunk', async (t) => {
  captureConsole(t, "error");
  const { io, trunk } = await startApp(t, { options: { close: "at once" } });
  const socket = await connectClient(io, trunk, 4);
  const disconnected = once(socket, "disconnect");
  socket.emit("last words");
  io.close();
  assert.equal((await disconnected)[0], "server shutting down");
  assert.equal(await trunk.closed, 1000);
  const tail = trunk.frames.filter((frame) => ["Send", "Drain", "Close"].includes(frame.type));
  assert.deepEqual(types(tail), ["Send", "Drain", "Close"]);
  assert.equal(tail[2].reason, 6);
});

for (const transport of [POLLING, WEBSOCKET]) {
  test(`a client's end waits for its last message, and its return waits for its end: transport ${transport}`, async (t) => {
    const { io, trunk } = await startApp(t);
    const log = [];
    io.on("connection", (socket) => {
      log.push("connect");
      socket.on("bye", () => log.push("bye"));
      socket.on("disconnect", () => log.push("disconnect"));
    });
    io.engine.on("connection", (conn) => log.push(conn.id));
    await trunk.connect(1, { transport });
    trunk.send(
      { type: "Message", session: 1, flags: 0, payload: Buffer.from('2["bye"]') },
      { type: "Close", session: 1, reason: 1, description: "" },
      openFrame(2, { transport }),
      openFrame(3, { transport }),
      { type: "Close", session: 3, reason: 11, description: "" },
    );
    const closed = [await trunk.next("Close"), await trunk.next("Close")].map(({ session }) => session);
    await trunk.next("Accept");
    assert.deepEqual(log, ["sid-1", "connect", "bye", "disconnect", "sid-2"]);
    assert.deepEqual(closed.sort(), [1, 3]);
    await trunk.settle();
    assert.ok(!types(trunk.frames).includes("Accept"), "session 3 was gone before its handshake was looked at");
  });
}

test("an end in one payload with the last message comes before it", async (t) => {
  const { io, trunk } = await startApp(t);
  const socket = await connectClient(io, trunk, 1, { transport: POLLING });
  const disconnected = once(socket, "disconnect");
  const heard = [];
  socket.on("bye", () => heard.push("bye"));
  trunk.send(
    { type: "Message", session: 1, flags: 0, payload: Buffer.from('2["bye"]') },
    { type: "Close", session: 1, reason: 12, description: "" },
  );
  const [reason] = await disconnected;
  await trunk.settle();
  assert.deepEqual([reason, heard], ["transport close", []]);
});

test("`io.close()` is done when the trunk is closed, and calls back then", async (t) => {
  const { io, trunk, trunkline } = await startApp(t);
  await connectClient(io, trunk, 4);
  let closed = false;
  trunk.closed.then(() => (closed = true));
  const done = new Promise((resolve) => io.close(resolve));
  assert.equal(await done, undefined);
  assert.equal(trunkline.stats.trunksUp, 0);
  await trunk.closed;
  assert.ok(closed && types(trunk.frames).includes("Drain"));
});
