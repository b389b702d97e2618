// When an app server tries to resume a trunk, and when it gives up; in virtual time.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ModelNode, trunkTo } from "./support/model-node.js";

const WINDOW_MS = 2_000;

const turns = async () => {
  for (let count = 0; count < 4; count++) await new Promise(setImmediate);
};

/** A trunk that is up, and what its owner was told. */
async function start(t) {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  // The middle of the back-off's spread.
  t.mock.method(Math, "random", () => 0.5);
  const node = new ModelNode(WINDOW_MS);
  const told = [];
  const tell = (name) => () => told.push(name);
  const { trunk, counters } = trunkTo(node, { onUp: tell("up"), onDown: tell("down"), onRetry: tell("retry") });
  const open = async () => {
    node.wires.at(-1).open();
    node.wires.at(-1).toNode(1e9);
    node.wires.at(-1).toApp(1e9);
    await turns();
  };
  trunk.connect();
  await open();
  node.isHeard = true;
  const fail = () => node.wires.at(-1).handlers.onClose(1006, "", new Error("connect ECONNREFUSED"));
  const pass = async (ms) => {
    t.mock.timers.tick(ms);
    await turns();
  };
  return { node, trunk, counters, told, open, fail, pass };
}

test("the first attempt is at once, the others after growing delays, and there is one at a time", async (t) => {
  const { node, counters, told, open, fail, pass } = await start(t);
  node.wires[0].breakFor("app");
  assert.equal(node.wires.length, 2);
  for (const delay of [100, 200, 400]) {
    fail();
    const before = node.wires.length;
    await pass(delay - 1);
    assert.equal(node.wires.length, before);
    await pass(1);
    assert.equal(node.wires.length, before + 1);
  }
  await open();
  assert.deepEqual([told, counters.resumed], [["up"], 1]);
  await pass(60_000);
  assert.deepEqual([node.wires.length, told], [5, ["up"]], "the deadline is off");
});

test("half a second after the node's window it is over: one more attempt at a time, for a new trunk", async (t) => {
  const { node, trunk, told, fail, pass } = await start(t);
  node.wires[0].breakFor("app");
  fail();
  for (let ms = 0; ms < WINDOW_MS + 400; ms += 100) {
    await pass(100);
    if (node.wires.at(-1).handlers !== undefined && node.wires.at(-1).app) {
      node.wires.at(-1).app = false;
      fail();
    }
  }
  assert.deepEqual([told, trunk.isUp], [["up"], true]);
  await pass(100);
  assert.deepEqual([told, trunk.isUp], [["up", "down"], false]);
  const before = node.wires.length;
  await pass(10_000);
  assert.deepEqual(node.wires.length, before + 1);
});

test("an attempt that is under way at the deadline is broken off", async (t) => {
  const { node, trunk, told, pass } = await start(t);
  node.wires[0].breakFor("app");
  node.wires[1].open();
  await pass(WINDOW_MS + 500);
  assert.deepEqual([told, node.wires[1].app, trunk.isUp], [["up", "down"], false, false]);
});

test("a Welcome that had arrived at the deadline counts", async (t) => {
  const { node, trunk, told } = await start(t);
  node.wires[0].breakFor("app");
  node.wires[1].open();
  node.wires[1].toNode(1e9);
  // The process was busy: the timer fires before the stream is read.
  t.mock.timers.tick(WINDOW_MS + 500);
  node.wires[1].toApp(1e9);
  await turns();
  assert.deepEqual([told, trunk.isUp, trunk.gap], [["up"], true, undefined]);
});

test("`close()` while the next attempt waits ends it at the latest after two seconds", async (t) => {
  const { node, trunk, told, fail, pass } = await start(t);
  node.wires[0].breakFor("app");
  fail();
  const closed = trunk.close();
  await pass(2_000);
  await closed;
  const before = node.wires.length;
  await pass(60_000);
  assert.deepEqual([node.wires.length, told], [before, ["up"]]);
});
