// A broadcast to very many sessions of one shard, and the other sessions of the shard.
import assert from "node:assert/strict";
import { send } from "../../testing/trunk_batch.mjs";
import { until } from "../../testing/wait.mjs";
import { inArena } from "../harness/arena.mjs";

const MANY = 1200;
/** The number of sessions that a shard flushes before it looks at other input. */
const SLICE = 256;

/** Opens this many sessions, all in one namespace of the app. */
async function crowd(arena, app) {
  app.send({ type: "Namespace", nsp: 1, name: "/" });
  const clients = [];
  while (clients.length < MANY) {
    const wave = Array.from({ length: 100 }, () => arena.client());
    clients.push(...(await Promise.all(wave)));
  }
  const sessions = app.opens.map(({ session }) => session);
  app.send(...sessions.map((session) => ({ type: "Attach", session, nsp: 1, socket: `s${session}`, rooms: [] })));
  await app.ping();
  return { clients, sessions };
}

const broadcast = (text, flags = 0) => {
  const parts = [{ kind: 0, data: Buffer.from(text) }];
  return { type: "Broadcast", nsp: 1, flags, rooms: [], except: [], parts };
};

inArena("a broadcast to many leaves in slices, whole and in order for each", {}, async (arena) => {
  const app = await arena.app();
  const { clients, sessions } = await crowd(arena, app);
  const slices = () => arena.count(/^trunkline_edge_flush_slices_total$/);
  const before = await slices();
  // Each of these needs more than one slice. A message to one session comes in between, in the same batch and in
  // others.
  await arena.atOnce(async () => {
    app.send(broadcast("one"), send(sessions[5], "to you"), broadcast("two"));
    app.send(broadcast("three"));
    app.send(send(sessions[MANY - 1], "last word"), broadcast("four"));
  });
  const all = ["4one", "4two", "4three", "4four"];
  const heard = (client, texts) =>
    assert.deepEqual(
      client.texts.filter((text) => text[0] === "4"),
      texts,
    );
  await until("the last broadcast everywhere", () => clients.every(({ texts }) => texts.includes("4four")));
  // The test does not know which client has which session: two of them received the message in its place.
  const texts = clients.map((client) => client.texts.filter((text) => text[0] === "4").join(" "));
  const plain = all.join(" ");
  const special = ["4one 4to you 4two 4three 4four", "4one 4two 4three 4last word 4four"];
  assert.deepEqual(texts.filter((text) => text !== plain).sort(), special);
  heard(
    clients.find((_, at) => texts[at] === plain),
    all,
  );
  assert.ok((await slices()) - before >= Math.floor(MANY / SLICE), `${(await slices()) - before} slices`);
  await arena.rounds(3);
});

inArena(
  "credit comes back although something always waits",
  { args: ["--trunk-credit-bytes", "64KiB"] },
  async (arena) => {
    const app = await arena.app();
    const { clients, sessions } = await crowd(arena, app);
    const word = "w".repeat(8_000);
    for (let number = 0; number < 30; number += 1) {
      await app.sendWithin(broadcast(`round ${number}`), send(sessions[0], word));
      app.room -= 64; // The part for the broadcast.
    }
    await until("the last round everywhere", () => clients.every(({ texts }) => texts.includes("4round 29")));
  },
);

inArena("volatile words to one session do not suffer from a broadcast to many", {}, async (arena) => {
  const app = await arena.app();
  const { clients, sessions } = await crowd(arena, app);
  const VOLATILE = 2;
  const before = await arena.count(/volatile_dropped_total/);
  await arena.atOnce(async () => {
    app.send(broadcast("one"));
    app.send(...sessions.map((session) => send(session, "and", VOLATILE)));
  });
  await until("both", () => clients.every(({ texts }) => texts.slice(-2).join() === "4one,4and"));
  assert.equal(await arena.count(/volatile_dropped_total/), before);
});
