// When an app server tries to resume a trunk, and when it gives up; in virtual time.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ModelNode, trunkTo } from "./support/model-node.js";

const WINDOW_MS = 2_000;

const turns = async () => {
  for (let count = 0; count < 4; count++) await new Promise(setImmediate);
};

/** A trunk that is up, and what its owner was told. */
async function start(t, { pingIntervalMs } = {}) {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  // The middle of the back-off's spread.
  t.mock.method(Math, "random", () => 0.5);
  const node = new ModelNode({ windowMs: WINDOW_MS, pingIntervalMs });
  const told = [];
  const tell = (name) => () => told.push(name);
  const peers = [];
  const { trunk, counters } = trunkTo(node, {
    onUp: tell("up"),
    onDown: tell("down"),
    onRetry: tell("retry"),
    onPeers: (_trunk, servers) => peers.push(servers),
  });
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
  return { node, trunk, counters, told, peers, open, fail, pass };
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

test("no ping is asked for, and no silence is counted, while there is no stream", async (t) => {
  const { node, trunk, told, fail, open, pass } = await start(t, { pingIntervalMs: 500 });
  node.wires[0].breakFor("app");
  fail();
  for (let ms = 0; ms < WINDOW_MS + 400; ms += 100) {
    await pass(100);
    if (node.wires.at(-1).app && ms < WINDOW_MS) {
      node.wires.at(-1).app = false;
      fail();
    }
  }
  await open();
  assert.deepEqual([told, node.received, trunk.isUp], [["up"], 0, true]);
});

for (const forgets of [false, true]) {
  test(`options that change between Hello and a Welcome that ${forgets ? "begins a new trunk" : "continues the trunk"} are told once`, async (t) => {
    const { node, trunk, told } = await start(t);
    node.forgets = forgets;
    node.wires[0].breakFor("app");
    node.wires[1].open();
    trunk.changeSettings("changed");
    node.wires[1].toNode(1e9);
    node.wires[1].toApp(1e9);
    await turns();
    node.wires[1].toNode(1e9);
    assert.deepEqual([told, node.settings], [forgets ? ["up", "down", "up"] : ["up"], ["changed"]]);
    // The next life of the trunk begins with what Hello says.
    node.forgets = true;
    node.settings = [];
    node.wires[1].breakFor("app");
    node.wires[2].open();
    node.wires[2].toNode(1e9);
    node.wires[2].toApp(1e9);
    await turns();
    node.wires[2].toNode(1e9);
    assert.deepEqual(node.settings, []);
  });
}

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

test("what comes with the Welcome that continues a trunk is heard, and does not count as a batch", async (t) => {
  const { node, trunk, peers, open } = await start(t);
  node.beside = [{ type: "Peers", servers: ["another"] }];
  node.wires[0].breakFor("app");
  await open();
  assert.deepEqual(peers, [["another"]]);
  node.wires[1].breakFor("app");
  await open();
  assert.deepEqual([peers.length, trunk.isUp, node.resumptions], [2, true, 2]);
});

test("`close()` before a Welcome that does not continue the trunk: no new trunk, and no word of a lost one", async (t) => {
  const { node, trunk, told, open } = await start(t);
  node.forgets = true;
  node.wires[0].breakFor("app");
  const closed = trunk.close();
  await open();
  await closed;
  assert.deepEqual([told, node.wires.length, node.wires[1].app], [["up"], 2, false]);
});

test("`close()` before a Welcome that continues the trunk: closed as soon as the last words are sent", async (t) => {
  const { node, trunk, told, open } = await start(t);
  node.wires[0].breakFor("app");
  const closed = trunk.close();
  await turns();
  await open();
  await closed;
  assert.deepEqual([told, node.wires.length, node.wires[1].app], [["up"], 2, false]);
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
