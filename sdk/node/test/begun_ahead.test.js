// The answer to a batch also begins the next one, if that is there already or the app server is busy: then no batch
// needs a write of its own to be begun.
import assert from "node:assert/strict";
import { test } from "node:test";
import { framesOf } from "../../../testing/trunk_batch.mjs";
import { openFrame } from "./support/fake-node.js";
import { message } from "./support/machine.js";
import { ModelNode, trunkTo } from "./support/model-node.js";

const turn = () => new Promise(setImmediate);
const turns = async () => {
  for (let count = 0; count < 4; count++) await turn();
};

/** A trunk with one session that echoes; `sent()` are the batches since the last call. */
async function start(t, { rehome = true, takesAhead = true } = {}) {
  t.mock.method(performance, "now", () => 0);
  const node = new ModelNode({ takesAhead });
  const { trunk } = trunkTo(
    node,
    {
      onOpen: (machine, { session: number }) =>
        machine.accept(
          number,
          {
            accepted: true,
            handleMessage: (text) => machine.outbound.send(number, 0, text),
            handleTrunkLost: () => undefined,
          },
          "",
          [],
          [],
        ),
    },
    { rehome },
  );
  trunk.connect();
  const [wire] = node.wires;
  wire.isBlocked = false;
  wire.open();
  wire.toNode(1e9);
  wire.toApp(1e9);
  node.send(openFrame(1));
  wire.toApp(1e9);
  await turns();
  // With their counts: 1/0 is one batch begun, 1/1 another one begun and this one done.
  const named = (frame) => (frame.type === "Handled" ? `${frame.begun}/${frame.done}` : frame.type);
  const sent = () => wire.out.splice(0).map(({ batch }) => framesOf(batch).map(named));
  sent();
  const say = (text) => {
    node.send(message(1, text));
    wire.toApp(1e9);
  };
  t.after(() => {
    trunk.close();
    wire.breakFor("app");
  });
  return { node, wire, say, sent };
}

test("the answer to a batch begins the next one, and leaves before it", async (t) => {
  const { wire, say, sent } = await start(t);
  say("1");
  assert.deepEqual(sent(), [["1/0"]]);
  wire.hasRead = true;
  await turns();
  assert.deepEqual(sent(), [["Send", "1/1"]]);
  wire.hasRead = false;
  say("2");
  assert.deepEqual(sent(), [], "it is begun");
  await turns();
  assert.deepEqual(sent(), [["Send", "0/1"]]);
});

test("a batch that was begun ahead waits until that word has left this process", async (t) => {
  const { node, wire, say, sent } = await start(t);
  say("1");
  wire.hasRead = true;
  await turns();
  sent();
  wire.isBlocked = true;
  say("2");
  await turns();
  assert.deepEqual(sent(), [], "the app has not got it");
  wire.isBlocked = false;
  wire.hasRead = false;
  wire.handlers.onSent();
  await turns();
  assert.deepEqual(sent(), [["Send", "0/1"]]);
  assert.equal(node.sent.length, 3);
});

for (const [what, options, answer] of [
  ["a node that does not know it", { takesAhead: false }, ["Send", "0/1"]],
  ["an app whose sessions stay", { rehome: false }, ["Send", "Got"]],
]) {
  test(`nothing is begun ahead with ${what}`, async (t) => {
    const { wire, say, sent } = await start(t, options);
    say("1");
    sent();
    wire.hasRead = true;
    await turns();
    assert.deepEqual(sent(), [answer]);
  });
}
