import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connectClient, startApp, types } from "./support/app.js";

/** How many batches of the only trunk have been handed to its stream. */
function watchWire(trunkline) {
  const { wire } = trunkline.nodes.trunks[0].stream;
  let batches = 0;
  const send = wire.send.bind(wire);
  wire.send = (...args) => (batches++, send(...args));
  return { written: () => batches };
}

test("what is written in one turn, its ticks and promise callbacks included, is one batch", async (t) => {
  const { io, trunk } = await startApp(t);
  const [one, two] = [await connectClient(io, trunk, 1), await connectClient(io, trunk, 2)];
  await trunk.settle();
  trunk.batches.length = 0;
  setImmediate(() => {
    one.emit("a");
    io.to("r").emit("b");
    process.nextTick(() => two.emit("c"));
    Promise.resolve()
      .then(() => io.emit("d"))
      .then(() => one.emit("last"));
  });
  while ((await trunk.next("Send")).payload.toString() !== '2["last"]');
  assert.deepEqual(trunk.batches.map(types), [["Send", "Broadcast", "Send", "Broadcast", "Send"]]);
});

test("a change of rooms leaves at once, with everything that its turn has said before it and nothing overtaken", async (t) => {
  const { io, trunk } = await startApp(t);
  const socket = await connectClient(io, trunk, 1);
  io.emit("the namespace has a number");
  await trunk.settle();
  trunk.batches.length = 0;
  socket.emit("a");
  socket.join("r");
  socket.emit("b");
  socket.leave("r");
  socket.emit("c");
  io.to("r").emit("d");
  socket.join("r");
  socket.emit("e");
  await trunk.settle();
  assert.deepEqual(
    trunk.batches.map(types).filter((batch) => batch[0] !== "Pong"),
    [["Send", "Join"], ["Send", "Leave"], ["Send", "Broadcast", "Join"], ["Send"]],
  );
});

test("what changes who is where is with the stream before the app does anything else", async (t) => {
  const { io, trunk, trunkline } = await startApp(t);
  const [one, two] = [await connectClient(io, trunk, 1), await connectClient(io, trunk, 2)];
  await trunk.settle();
  const { written } = watchWire(trunkline);
  for (const change of [
    () => one.join("r"),
    () => one.leave("r"),
    () => io.socketsJoin(["all", "of them"]),
    () => io.in("all").socketsLeave("of them"),
    () => two.disconnect(),
    () => one.disconnect(true),
  ]) {
    const before = written();
    change();
    assert.ok(written() > before, String(change));
  }
});

test("an operation on very many sockets is one batch, and a loop over them not one for each", async (t) => {
  const { io, trunk } = await startApp(t);
  const sockets = [];
  while (sockets.length < 200) sockets.push(await connectClient(io, trunk, sockets.length + 1));
  await trunk.settle();
  trunk.batches.length = 0;
  io.socketsJoin("all");
  await trunk.settle();
  const joins = () => trunk.batches.filter((batch) => batch[0].type === "Join");
  assert.deepEqual(
    joins().map((batch) => batch.length),
    [200],
  );
  trunk.batches.length = 0;
  for (const socket of sockets) socket.join("each");
  await trunk.settle();
  assert.equal(joins().flat().length, 200);
  assert.ok(joins().length < 80, `${joins().length} batches`);
});

test("answers to one batch are one batch", async (t) => {
  const { io, trunk } = await startApp(t);
  const socket = await connectClient(io, trunk, 1);
  socket.on("ask", (n, done) => done(n));
  await trunk.settle();
  trunk.batches.length = 0;
  trunk.text(1, '20["ask",0]', '21["ask",1]', '22["ask",2]');
  await trunk.next("Send");
  assert.deepEqual(
    trunk.batches.map((batch) => batch.map((frame) => frame.payload.toString())),
    [["30[0]", "31[1]", "32[2]"]],
  );
});

test("another turn is another batch", async (t) => {
  const { io, trunk } = await startApp(t);
  const socket = await connectClient(io, trunk, 1);
  await trunk.settle();
  trunk.batches.length = 0;
  socket.emit("a");
  await sleep(5);
  socket.emit("b");
  await trunk.next("Send");
  await trunk.next("Send");
  assert.deepEqual(trunk.batches.map(types), [["Send"], ["Send"]]);
});

test("a turn that is too long for one batch is split between frames, in order", async (t) => {
  const { io, trunk } = await startApp(t, { node: { welcome: { batchBytesMax: 4096 } } });
  const socket = await connectClient(io, trunk, 1);
  await trunk.settle();
  trunk.batches.length = 0;
  for (let index = 0; index < 50; index++) socket.emit("n", index, "x".repeat(300));
  const seen = [];
  while (seen.length < 50) seen.push(JSON.parse((await trunk.next("Send")).payload.toString().slice(1))[1]);
  assert.deepEqual(
    seen,
    Array.from({ length: 50 }, (_, index) => index),
  );
  assert.ok(trunk.batches.length >= 4);
  for (const batch of trunk.batches) {
    assert.ok(batch.reduce((sum, frame) => sum + frame.payload.length + 6, 0) <= 4096 + 6 * batch.length);
  }
});

test("large and small batches reuse buffers without mixing their bytes", async (t) => {
  const { io, trunk } = await startApp(t);
  const socket = await connectClient(io, trunk, 1);
  const sent = [];
  for (let round = 0; round < 40; round++) {
    const text = String(round % 10).repeat(round % 2 === 0 ? 10 : 20_000);
    socket.emit("n", text);
    sent.push(text);
    if (round % 3 === 0) await sleep(0);
  }
  for (const text of sent) assert.equal(JSON.parse((await trunk.next("Send")).payload.toString().slice(1))[1], text);
});
