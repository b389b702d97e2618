// A node that stops taking what the app sends: what waits for it is bounded, counted, and not kept in silence.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { HangWatch } from "../dist/esm/trunk/hang.js";
import { connectClient, startApp } from "./support/app.js";

const MB = 1_000_000;
const SMALL = { node: { welcome: { credit: 64 * 1024 } } };

async function clock(t, ...apis) {
  t.mock.timers.enable({ apis, now: Date.now() });
  return (ms) => t.mock.timers.tick(ms);
}

test("a node that hangs while the app broadcasts on loses the trunk, and what waited is counted", async (t) => {
  const pass = await clock(t, "setInterval", "Date");
  const { io, trunkline, trunk, warnings } = await startApp(t, SMALL);
  const socket = await connectClient(io, trunk, 1);
  const disconnected = once(socket, "disconnect");
  const gone = once(trunkline, "disconnect");
  let most = 0;
  let sent = 0;
  const chunk = "x".repeat(MB);
  while (trunkline.stats.trunksUp === 1) {
    assert.ok(sent < 200, "it has an end");
    io.emit("news", chunk);
    sent++;
    pass(100);
    most = Math.max(most, trunkline.stats.heldBytes);
    await new Promise(setImmediate);
  }
  assert.ok(most < 70 * MB, `${most} bytes waited`);
  assert.deepEqual((await disconnected)[0], "transport close");
  const [error] = await gone;
  assert.match(error.message, /has taken nothing for \d+ s, and \d+ bytes wait/);
  assert.ok(warnings.some((warning) => warning === `${error.message}; its sessions have ended, trying again`));
  assert.ok(trunkline.stats.broadcastsDropped > sent / 2, `${trunkline.stats.broadcastsDropped} of ${sent}`);
  assert.ok(trunkline.stats.heldBytes < 2 * MB);
});

test("a node that goes on taking keeps its trunk, however much waits", async (t) => {
  const pass = await clock(t, "setInterval", "Date");
  const { io, trunkline, trunk } = await startApp(t, SMALL);
  const chunk = "x".repeat(MB);
  for (let number = 0; number < 60; number++) {
    io.emit("news", chunk);
    pass(1_000);
    trunk.send({ type: "Credit", bytes: 1 });
    await trunk.settle();
  }
  assert.equal(trunkline.stats.trunksUp, 1);
  assert.ok(trunkline.stats.heldBytes > 30 * MB);
});

test("what the app itself blocked is no silence of the node's", async (t) => {
  const { io, trunkline, trunk } = await startApp(t, SMALL);
  const socket = await connectClient(io, trunk, 1);
  const chunk = "x".repeat(MB);
  for (let number = 0; number < 40; number++) socket.emit("line", chunk);
  // Only the clock goes on in one turn: no timer fires, and nothing is read.
  const pass = await clock(t, "Date");
  pass(60_000);
  socket.emit("line", chunk);
  await trunk.settle();
  assert.equal(trunkline.stats.trunksUp, 1);
  assert.ok(trunkline.stats.heldBytes > 30 * MB);
});

test("credit that had arrived when the time was over is read first", async (t) => {
  const pass = await clock(t, "setInterval");
  const hangs = [];
  const watch = new HangWatch((heldBytes, forMs) => hangs.push([heldBytes, forMs]));
  const turns = async () => {
    for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
  };
  watch.noteHeld(1);
  pass(5_000);
  watch.noteHeld(20 * MB);
  watch.noteCredit(19 * MB);
  await turns();
  assert.deepEqual(hangs, []);
  pass(4_000);
  watch.noteHeld(20 * MB);
  pass(1_000);
  await turns();
  assert.deepEqual(hangs, [], "the first step after credit does not count");
  pass(1_000);
  watch.noteHeld(20 * MB);
  watch.noteHeld(21 * MB);
  await turns();
  assert.deepEqual(hangs, [[20 * MB, 5_000]]);
});
