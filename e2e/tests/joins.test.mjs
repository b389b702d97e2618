// An app server changes a socket's rooms and notifies another one, which broadcasts: the change takes effect first. A
// small run of `stress/joins.mjs`; when a node read its trunks in any order, more than one round in a hundred went
// wrong.
import assert from "node:assert/strict";
import test, { describe } from "node:test";
import { run } from "../stress/joins_run.mjs";

const NONE = { join: [], leave: [], excepted: [], forgiven: [] };

describe("a broadcast after another app server's change of rooms", { skip: process.env.E2E_PLAIN === "1" }, () => {
  const places = [
    ["one thread", { threads: 1, clients: 4 }],
    ["two threads, both trunks on one", { threads: 2, clients: 3 }],
    ["two threads, a trunk on each", { threads: 2, clients: 4 }],
  ];
  for (const [name, place] of places) {
    test(name, async () => assert.deepEqual((await run({ rounds: 800, ...place })).wrong, NONE));
  }
  test("two threads, told after `await join`", async () =>
    assert.deepEqual((await run({ rounds: 800, threads: 2, clients: 4, awaits: true })).wrong, NONE));
});
