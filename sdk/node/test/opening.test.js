/** When clients may come: at once, or when the app says so. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { Server } from "socket.io";
import { useTrunkline } from "../dist/esm/index.js";
import { connectClient, until } from "./support/app.js";
import { FakeNode } from "./support/fake-node.js";

async function startManual(t, io = new Server()) {
  const node = await FakeNode.start();
  const trunkline = useTrunkline(io, { endpoint: node.endpoint, open: "manual" });
  t.after(async () => {
    await trunkline.close();
    await node.stop();
  });
  return { io, node, trunkline };
}

/** An app that opened by itself would have asked the node before this is answered. */
async function pass(node) {
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
  await fetch(node.endpoint);
}

test('with `open: "manual"` no client comes before `open()`, and what was broadcast meanwhile is sent then', async (t) => {
  const { io, node, trunkline } = await startManual(t);
  io.emit("early");
  await pass(node);
  assert.equal(node.requests.length, 0);
  // As behind `await db.connect()`.
  const connected = once(io, "connection");
  const opened = trunkline.open();
  assert.equal(opened, trunkline.ready);
  await opened;
  const trunk = await node.trunk();
  assert.equal((await trunk.next("Broadcast")).parts[0].data.toString(), '2["early"]');
  const id = await trunk.connect(1);
  assert.equal((await connected)[0].id, id);
});

test("`open()` in the turn of `useTrunkline`, and twice, opens one trunk with the options of that turn's end", async (t) => {
  const { io, node, trunkline } = await startManual(t);
  void trunkline.open();
  void trunkline.open();
  io.attach(createServer(), { pingInterval: 77 });
  await trunkline.ready;
  const trunk = await node.trunk();
  assert.equal(JSON.parse(trunk.hello.settings).pingInterval, 77);
  await pass(node);
  assert.equal(node.requests.length, 1);
});

test("without the option `open()` is `ready`", async (t) => {
  const node = await FakeNode.start();
  const trunkline = useTrunkline(new Server(), { endpoint: node.endpoint });
  t.after(async () => {
    await trunkline.close();
    await node.stop();
  });
  await trunkline.open();
  assert.equal(node.requests.length, 1);
});

test("`io.close()` and `io.listen()` before `open()` open nothing; `open()` then does", async (t) => {
  const { io, node, trunkline } = await startManual(t);
  await io.close();
  io.listen(0);
  t.after(() => io.close());
  await pass(node);
  assert.equal(node.requests.length, 0);
  void trunkline.open();
  await connectClient(io, await node.trunk(), 1);
});

test("`open()` after `close()` opens nothing, and says so", async (t) => {
  const { node, trunkline } = await startManual(t);
  await trunkline.close();
  await assert.rejects(trunkline.open(), { code: "closed" });
  await pass(node);
  assert.equal(node.requests.length, 0);
});

test("an app that opened by hand opens by itself after `io.close()` and `io.listen()`: its listeners are there", async (t) => {
  const { io, node, trunkline } = await startManual(t);
  await trunkline.open();
  const trunk = await node.trunk();
  await io.close();
  await trunk.closed;
  io.listen(0);
  t.after(() => io.close());
  await connectClient(io, await node.trunk(), 1);
  await until(() => trunkline.stats.trunksUp === 1);
});
