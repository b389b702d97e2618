// A trunk over streams that break after any byte, each end noticing it when it will: whatever happens, each message
// arrives once and in order, in both directions.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ModelNode, randomFrom, trunkTo } from "./support/model-node.js";
import { openFrame } from "./support/fake-node.js";
import { message } from "./support/machine.js";

const SEEDS = 150;
const STEPS = 300;

async function play(t, seed) {
  const random = randomFrom(seed);
  // The back-off's spread.
  t.mock.method(Math, "random", randomFrom(-seed));
  const upTo = (max) => Math.floor(random() * max);
  const rehome = seed % 2 === 0;
  const node = new ModelNode({ takesAhead: seed % 4 === 0 });
  const heard = [];
  /** The batch of each message. */
  const batches = [];
  let machine;
  let ends = 0;
  const session = {
    accepted: false,
    handleMessage: (text) => {
      const number = Number(text.split(" ")[0]);
      heard.push(number);
      if (rehome) assert.ok(node.saidBegun >= batches[number], `seed ${seed}: ${number} is not begun`);
    },
    handleTrunkLost: () => ends++,
  };
  const { trunk, counters } = trunkTo(
    node,
    {
      onDown: () => assert.equal(node.isHeard, undefined, `seed ${seed}: the trunk was lost`),
      onOpen: (end, { session: number }) => {
        machine = end;
        session.accepted = true;
        machine.accept(number, session, "", [], []);
      },
    },
    { rehome },
  );
  const turn = async () => {
    for (let count = 0; count < 4; count++) await new Promise(setImmediate);
  };
  const settle = async (isDone) => {
    for (let round = 0; !isDone(); round++) {
      assert.ok(round < 2_000, `seed ${seed}: it goes on`);
      const wire = node.wires.at(-1);
      if (!wire.isOpen) wire.open();
      wire.toNode(1e9);
      wire.toApp(1e9);
      t.mock.timers.tick(1_000);
      node.giveCredit();
      node.confirm();
      await turn();
    }
  };
  trunk.connect();
  await settle(() => trunk.isUp);
  node.send(openFrame(1));
  await settle(() => session.accepted && node.isHeard);
  let told = 0;
  let asked = 0;
  const filler = () => "x".repeat(random() < 0.1 ? upTo(9_000) : upTo(50));
  const actions = [
    () => {
      for (let count = upTo(5); count >= 0; count--) machine.outbound.send(1, 0, `${told++} ${filler()}`);
    },
    () => {
      const messages = Array.from({ length: 1 + upTo(4) }, () => message(1, `${asked++} ${filler()}`));
      for (const _ of messages) batches.push(node.sent.length + 1);
      node.send(...messages);
    },
    () => node.wires.at(-1).toNode(upTo(400)),
    () => node.wires.at(-1).toApp(upTo(400)),
    () => node.wires.at(-1).toNode(upTo(20_000)),
    () => node.wires.at(-1).toApp(upTo(20_000)),
    () => node.wires.at(-1).take(upTo(3)),
    // What an app server had sent on a stream that it took for broken reaches the node all the same.
    () => node.wires.at(-2)?.toNode(upTo(2_000)),
    () => node.giveCredit(),
    () => node.confirm(),
    () => t.mock.timers.tick(upTo(300)),
    () => {
      const wire = node.wires.at(-1);
      if (!wire.isOpen && wire.app) wire.open();
    },
    () => {
      const wire = node.wires.at(-1);
      const kind = upTo(8);
      if (kind < 2) wire.breakFor("app");
      if (kind % 2 === 0 && kind < 4) wire.breakFor("node");
    },
  ];
  for (let step = 0; step < STEPS; step++) {
    actions[upTo(actions.length)]();
    if (random() < 0.5) await turn();
  }
  // A stream whose node has given it up is noticed at last.
  const last = node.wires.at(-1);
  if (last.app && !last.node) last.breakFor("app");
  await settle(() => node.said.length === told && heard.length === asked && node.due === 0);
  await settle(() => node.unconfirmed === 0 && trunk.gap === undefined);
  const numbers = (count) => Array.from({ length: count }, (_, number) => number);
  assert.deepEqual(node.said, numbers(told), `seed ${seed}: what the app server said`);
  assert.deepEqual(heard, numbers(asked), `seed ${seed}: what the node said`);
  assert.deepEqual([ends, counters.resumed <= node.resumptions], [0, true]);
  const closed = trunk.close();
  await turn();
  node.wires.at(-1).breakFor("app");
  await closed;
  return { resumed: counters.resumed, told, asked };
}

test(`each message once and in order, over streams that break anywhere: ${SEEDS} plays`, async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  const total = { resumed: 0, told: 0, asked: 0 };
  for (let seed = 1; seed <= SEEDS; seed++) {
    const result = await play(t, seed);
    for (const key of Object.keys(total)) total[key] += result[key];
  }
  t.diagnostic(JSON.stringify(total));
  assert.ok(total.resumed > 2 * SEEDS && total.told > 20 * SEEDS && total.asked > 20 * SEEDS, JSON.stringify(total));
});
