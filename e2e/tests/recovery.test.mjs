// A small run of the stress test of connection state recovery. The large run: `node stress/recovery.mjs`.
import assert from "node:assert/strict";
import test, { before, describe } from "node:test";
import { PLAIN } from "../harness/world.mjs";
import { judge } from "../stress/recovery_judge.mjs";
import { run } from "../stress/recovery_run.mjs";

const CLIENTS = 60;

describe("all streams cut without a close frame, broadcasts before, meanwhile and while the clients come back", () => {
  let record;
  before(async () => {
    record = await run({ clients: CLIENTS, broadcasts: 40 });
  });
  const count = (name, changed = record) => judge(changed).filter((fate) => fate[name]).length;

  test("all are recovered", () => assert.equal(count("recovered"), CLIENTS));
  test("with their id, rooms and data", () => assert.equal(count("same"), CLIENTS));
  test("and have every broadcast once, in order", () => assert.equal(count("inOrder"), CLIENTS));
  test("half of them on the other app server", { skip: PLAIN }, () =>
    assert.ok(Math.abs(count("moved") - CLIENTS / 2) <= 1, `${count("moved")}`),
  );

  const falsifications = {
    "a message dropped": ["inOrder", ({ heard }) => heard.splice(20, 1)],
    "a message doubled": ["inOrder", ({ heard }) => heard.splice(20, 0, heard[20])],
    "two messages of one app server swapped": [
      "inOrder",
      ({ heard }) => {
        const [a, b] = heard.flatMap((id, index) => (id.startsWith("amber:") ? [index] : [])).slice(5);
        [heard[a], heard[b]] = [heard[b], heard[a]];
      },
    ],
    "a fresh socket": ["recovered", ({ returns }) => (returns[0].recovered = false)],
    "another id": ["same", ({ returns }) => (returns[0].id = "another")],
    "other data": ["same", ({ first }) => (first.data.secret = "of nobody")],
  };
  for (const [name, [figure, change]] of Object.entries(falsifications)) {
    test(`caught: ${name}`, () => {
      const clients = structuredClone(record.clients);
      change(clients[6]);
      assert.equal(count(figure, { ...record, clients }), CLIENTS - 1);
    });
  }
});
