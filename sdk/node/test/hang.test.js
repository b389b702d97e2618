// A node that stops taking what the app sends: what waits for it is bounded, counted, and not kept in silence.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { connectClient, startApp } from "./support/app.js";

const MB = 1_000_000;
const SMALL = { node: { welcome: { credit: 64 * 1024 } } };

async function clock(t) {
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() });
  return (ms) => t.mock.timers.tick(ms);
}

test("a node that hangs while the app broadcasts on loses the trunk, and what waited is counted", async (t) => {
  const { io, trunkline, trunk, warnings } = await startApp(t, SMALL);
  const socket = await connectClient(io, trunk, 1);
  const pass = await clock(t);
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
  const { io, trunkline, trunk } = await startApp(t, SMALL);
  const pass = await clock(t);
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
