// A trunk whose stream breaks goes on with another one: clients and the app do not notice. When it takes too long, the
// sessions end as without this.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { until } from "../../testing/wait.mjs";
import { CuttingProxy } from "../../testing/cutting_proxy.mjs";
import { withWorld } from "../harness/test.mjs";
import { TRANSPORTS } from "../harness/world.mjs";

/** A node, and an app server whose only way to it is a proxy. */
const withProxy = (name, args, check) =>
  withWorld(name, { servers: [], args, trunklineOnly: true }, async (world) => {
    const proxy = await CuttingProxy.start(new URL(world.node.url).port);
    try {
      const app = await world.startApp({ name: "amber", trunkline: { endpoint: proxy.url } });
      await check({ world, proxy, app, stats: () => app.run(({ trunkline }) => trunkline.stats) });
    } finally {
      proxy.stop();
    }
  });

/** Starts numbered broadcasts; the answer is the number of the last one. */
const cast = (app, everyMs) =>
  app.run((context, interval) => {
    clearInterval(context.timer);
    context.last ??= 0;
    if (interval > 0) context.timer = setInterval(() => context.io.emit("cast", context.last++), interval);
    return context.last;
  }, everyMs);

/** A client that says numbers, and keeps those that come back and those that are broadcast. */
async function talker(world, transports) {
  const client = await world.client("/", transports);
  const talk = { client, said: 0, echoed: [], cast: [], ends: [] };
  client.on("repeat", (number) => talk.echoed.push(number));
  client.on("cast", (number) => talk.cast.push(number));
  client.on("disconnect", (reason) => talk.ends.push(reason));
  return talk;
}

const isRow = (numbers) => numbers.every((number, index) => number === numbers[0] + index);

withProxy("a trunk that breaks again and again, for up to a second: nobody notices", [], async (parts) => {
  const { world, proxy, app, stats } = parts;
  const talkers = [];
  for (const kind of ["websocket", "polling", "upgrade", "websocket"])
    talkers.push(await talker(world, TRANSPORTS[kind]));
  await cast(app, 5);
  const talking = setInterval(() => {
    for (const talk of talkers) talk.client.emit("repeat", talk.said++);
  }, 5);
  try {
    const breaks = [1_000, 0, 150, 0, 0];
    for (const [index, ms] of breaks.entries()) {
      const soFar = talkers.map((talk) => talk.echoed.length);
      await until("echoes", () => talkers.every((talk, each) => talk.echoed.length > soFar[each] + 20));
      proxy.goAway();
      await sleep(ms);
      proxy.comeBack();
      await until("the trunk to go on", async () => (await stats()).resumed === index + 1);
    }
  } finally {
    clearInterval(talking);
  }
  const last = await cast(app, 0);
  await until("the last ones", () =>
    talkers.every((talk) => talk.echoed.length >= talk.said && talk.cast.at(-1) === last - 1),
  );
  for (const talk of talkers) {
    assert.deepEqual([talk.echoed.length, talk.echoed[0], isRow(talk.echoed)], [talk.said, 0, true]);
    assert.ok(isRow(talk.cast) && talk.cast.length > 100, `${talk.cast}`);
    assert.deepEqual([talk.ends, talk.client.connected], [[], true]);
  }
  const { resumed, reconnects, trunksUp, sessions } = await stats();
  assert.deepEqual([resumed, reconnects, trunksUp, sessions], [5, 0, 1, 4]);
  assert.equal((await world.node.metrics()).get("trunkline_trunks_resumed_total"), 5);
  assert.deepEqual(
    app.notes.filter(({ kind }) => kind === "disconnect"),
    [],
  );
});

withProxy(
  "a trunk that breaks for longer than the node waits: its sessions end, and the clients come back",
  ["--trunk-resume-window", "200ms"],
  async ({ world, proxy, app, stats }) => {
    const coming = { reconnection: true, reconnectionDelay: 200 };
    const client = await world.client("/", { ...TRANSPORTS.websocket, ...coming });
    const { id } = client;
    proxy.goAway();
    assert.equal((await app.noted("disconnect", (note) => note.id === id)).reason, "transport close");
    await until("the end", () => !client.connected || client.id !== id);
    proxy.comeBack();
    await until("the return", () => client.connected && client.id !== id);
    assert.equal(await client.emitWithAck("server"), "amber");
    const { resumed, reconnects, trunksUp, sessions } = await stats();
    assert.deepEqual([resumed, reconnects, trunksUp, sessions], [0, 1, 1, 1]);
  },
);
