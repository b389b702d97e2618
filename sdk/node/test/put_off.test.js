// With rehome each batch of the node is answered twice: that it is begun, and what came of it. When the next batch is
// there already, its beginning and the answer to the one before leave together.
import assert from "node:assert/strict";
import { test } from "node:test";
import { framesOf } from "../../../testing/trunk_batch.mjs";
import { types } from "./support/app.js";
import { openFrame } from "./support/fake-node.js";
import { message } from "./support/machine.js";
import { ModelNode, trunkTo } from "./support/model-node.js";

const turn = () => new Promise(setImmediate);
const turns = async () => {
  for (let count = 0; count < 4; count++) await turn();
};

/** A trunk with one session that echoes; `sent()` are the batches since the last call. */
async function start(t, rehome = true) {
  const node = new ModelNode();
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
  wire.open();
  wire.toNode(1e9);
  wire.toApp(1e9);
  node.send(openFrame(1));
  wire.toApp(1e9);
  await turns();
  const sent = () => wire.out.splice(0).map(({ batch }) => types(framesOf(batch)));
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

test("the answer to a batch and the beginning of the next are one batch, if the next is there", async (t) => {
  const { wire, say, sent } = await start(t);
  say("1");
  assert.deepEqual(sent(), [["Handled"]]);
  wire.hasRead = true;
  await turn();
  assert.deepEqual(sent(), []);
  say("2");
  assert.deepEqual(sent(), [["Send", "Handled", "Handled"]]);
  wire.hasRead = false;
  await turns();
  assert.deepEqual(sent(), [["Send", "Handled"]]);
});

test("the answer leaves one turn later when no batch comes, or one without messages", async (t) => {
  const { node, wire, say, sent } = await start(t);
  say("1");
  sent();
  wire.hasRead = true;
  await turn();
  node.send({ type: "Credit", bytes: 1 });
  wire.toApp(1e9);
  assert.deepEqual(sent(), []);
  await turn();
  assert.deepEqual(sent(), [["Send", "Handled", "Handled"]]);
  await turns();
  assert.deepEqual(sent(), []);
});

test("without rehome nothing waits", async (t) => {
  const { wire, say, sent } = await start(t, false);
  say("1");
  wire.hasRead = true;
  await turn();
  assert.deepEqual(sent(), [["Send", "Got"]]);
});
