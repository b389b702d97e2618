// Several app servers on one hub, several nodes with one app server, and no app server.
import assert from "node:assert/strict";
import { next, until, within } from "../../testing/wait.mjs";
import { withWorld } from "../harness/test.mjs";
import { TRANSPORTS, connected } from "../harness/world.mjs";

const COMING_BACK = { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 500 };

/** `count` clients by the name of their app server. */
async function spread(world, count, options) {
  const byServer = new Map(world.apps.map(({ name }) => [name, []]));
  for (let number = 0; number < count; number += 1) {
    const client = await world.client("/", options);
    byServer.get(await client.emitWithAck("server")).push(client);
  }
  return byServer;
}

withWorld(
  "new sessions go to the app server with the fewest",
  { servers: ["amber", "cobalt", "jade"], trunklineOnly: true },
  async (world) => {
    const byServer = await spread(world, 12, TRANSPORTS.websocket);
    assert.deepEqual(
      [...byServer.values()].map((clients) => clients.length),
      [4, 4, 4],
    );
    for (const client of byServer.get("jade")) client.disconnect();
    await until("jade's view", () => world.app("jade").run(({ io }) => io.engine.clientsCount === 0));
    const late = await spread(world, 4, TRANSPORTS.websocket);
    assert.equal(late.get("jade").length, 4, "the one that lost its clients gets the next four");
  },
);

withWorld(
  "what an app server says as soon as it is ready reaches the others",
  { servers: ["amber"], app: "early_words", trunklineOnly: true },
  async (world) => {
    const clients = await Promise.all(Array.from({ length: 3 }, () => connected(world.open())));
    for (let round = 0; round < 5; round += 1) {
      const late = await world.startApp({ name: `late ${round}`, app: "early_words" });
      const early = await late.run(({ early }) => early);
      assert.deepEqual(early, { servers: 2, answers: ["amber"], joined: clients.length });
      await until("the note", () => world.app("amber").run(({ notes }, name) => notes.includes(name), late.name));
      await late.stop();
      await until("its end", () =>
        world
          .app("amber")
          .run(({ io }) => io.of("/").adapter.serverCount())
          .then((n) => n === 1),
      );
    }
  },
);

for (const [mode, transports] of Object.entries(TRANSPORTS)) {
  withWorld(
    `kill -9 of an app server: its clients move, the others notice nothing (${mode})`,
    { servers: ["amber", "cobalt"], trunklineOnly: true },
    async (world) => {
      const byServer = await spread(world, 10, { ...transports, ...COMING_BACK });
      const [lost, kept] = [byServer.get("amber"), byServer.get("cobalt")];
      assert.deepEqual([lost.length, kept.length], [5, 5]);
      let noticed = 0;
      const keptIds = kept.map(({ id }) => id);
      for (const client of kept) client.on("disconnect", () => (noticed += 1));
      const reasons = lost.map((client) => next(client, "disconnect"));
      await world.app("amber").stop("SIGKILL");
      for (const [reason] of await Promise.all(reasons)) assert.match(reason, /^transport (close|error)$/);
      await until("the lost ones on the other app server", () => lost.every((client) => client.connected));
      for (const client of [...lost, ...kept]) assert.equal(await client.emitWithAck("server"), "cobalt");
      assert.equal(noticed, 0);
      assert.deepEqual(
        kept.map(({ id }) => id),
        keptIds,
      );
      assert.equal(await world.app("cobalt").run(({ io }) => io.engine.clientsCount), 10);
    },
  );
}

withWorld(
  "an app server that leaves with io.close() takes only its own clients along",
  { servers: ["amber", "cobalt"], trunklineOnly: true },
  async (world) => {
    const byServer = await spread(world, 6, { ...TRANSPORTS.websocket, ...COMING_BACK });
    const ends = byServer.get("amber").map((client) => next(client, "disconnect"));
    await world.app("amber").run(({ io }) => void io.close());
    await Promise.all(ends);
    await until("all on the other", () => world.app("cobalt").run(({ io }) => io.engine.clientsCount === 6));
    for (const client of byServer.get("cobalt")) assert.equal(client.connected, true);
  },
);

withWorld(
  "no app server: 503 with a JSON error at once, and recovery when one comes",
  { servers: [], trunklineOnly: true },
  async (world) => {
    const before = await world.node.metrics();
    const answer = await fetch(`${world.node.url}/socket.io/?EIO=4&transport=polling`);
    assert.equal(answer.status, 503);
    assert.match(answer.headers.get("content-type"), /^application\/json/);
    const body = await answer.json();
    assert.ok(body.message || body.error, JSON.stringify(body));
    await until("a counter", async () => {
      const moved = [...(await world.node.metrics())].filter(([name, value]) => value > (before.get(name) ?? 0));
      return moved.some(([name]) => /^trunkline_.*(refused|handshakes)/.test(name));
    });

    for (const transports of Object.values(TRANSPORTS)) {
      const client = world.open("/", transports);
      await next(client, "connect_error");
    }
    await world.startApp({ name: "amber" });
    for (const transports of Object.values(TRANSPORTS)) {
      const client = await world.client("/", transports);
      assert.equal(await client.emitWithAck("server"), "amber");
    }
    // Once more: the last app server leaves, the node refuses clients at once, and the next app server is accepted.
    await world.app("amber").stop("SIGKILL");
    await until(
      "the refusal",
      async () => (await fetch(`${world.node.url}/socket.io/?EIO=4&transport=polling`)).status === 503,
    );
    await world.startApp({ name: "cobalt" });
    const client = await world.client("/", TRANSPORTS.upgrade);
    assert.equal(await client.emitWithAck("server"), "cobalt");
    const told = world.node.log.count(/no app server/i);
    assert.ok(told >= 1 && told <= 4, `the node's log says it once per interval, not ${told} times`);
  },
);

withWorld(
  "a wrong key is a clear, final error in the app's log",
  { servers: [], trunklineOnly: true },
  async (world) => {
    const app = await world.startApp({ name: "amber", trunkline: { key: "not-the-key-of-this-hub" }, ready: false });
    const failure = await app.noted("failed");
    assert.match(failure.message, /key/i);
    await until("the app's log", () => app.log.count(/key/i) > 0);
    const refused = async () => {
      const samples = [...(await world.node.metrics())].filter(([name]) => /^trunkline_trunks_refused/.test(name));
      return samples.reduce((sum, [, value]) => sum + value, 0);
    };
    assert.equal(await refused(), 1);
    // It does not try again: meanwhile a second app server connects completely.
    await world.startApp({ name: "cobalt" });
    assert.equal(await refused(), 1);
    assert.equal(app.log.count(/key/i), 1, app.log.text);
  },
);

withWorld("an unknown hub is a clear, final error too", { servers: [], trunklineOnly: true }, async (world) => {
  // In development a hub is created by its name, and this is no valid name.
  const app = await world.startApp({ name: "amber", trunkline: { hub: "no where" }, ready: false });
  const failure = await app.noted("failed");
  assert.match(failure.message, /hub/i);
});

withWorld(
  "two independent nodes, one app server: a broadcast reaches the clients of both",
  { nodes: 2, servers: ["amber"], trunklineOnly: true },
  async (world) => {
    const clients = [];
    for (const node of world.nodes) {
      for (const transports of Object.values(TRANSPORTS)) clients.push(await world.client("/", transports, node.url));
    }
    const heard = [];
    for (const [number, client] of clients.entries())
      client.on("hear", (what, bytes) => heard.push(`${what} ${number} ${bytes?.length}`));
    const [amber] = world.apps;
    await amber.run(({ io }) => io.emit("hear", "all", Buffer.alloc(5)));
    await until("everybody", () => heard.length === 6);
    assert.deepEqual(
      heard.sort(),
      [0, 1, 2, 3, 4, 5].map((number) => `all ${number} 5`),
    );

    heard.length = 0;
    for (const number of [1, 4]) assert.equal(await clients[number].emitWithAck("join", "pair"), true);
    await amber.run(({ io }) => void (io.to("pair").emit("hear", "pair"), io.emit("hear", "end")));
    await until("everybody", () => heard.filter((what) => what.startsWith("end")).length === 6);
    assert.deepEqual(heard.filter((what) => what.startsWith("pair")).sort(), ["pair 1 undefined", "pair 4 undefined"]);

    // One node ends; the clients of the other node notice nothing, the app continues, the node returns.
    let noticed = 0;
    for (const client of clients.slice(3)) client.on("disconnect", () => (noticed += 1));
    const ended = clients.slice(0, 3).map((client) => next(client, "disconnect"));
    await world.nodes[0].stop("SIGKILL");
    await Promise.all(ended);
    await until("the app's view", () => amber.run(({ io }) => io.engine.clientsCount === 3));
    assert.equal(await clients[3].emitWithAck("echo", "still here"), "still here");
    assert.equal(noticed, 0);
  },
);

withWorld("a node that comes back gets its trunk back", { servers: ["amber"], trunklineOnly: true }, async (world) => {
  const { startNode } = await import("../harness/node.mjs");
  const client = await world.client("/", { ...TRANSPORTS.upgrade, ...COMING_BACK });
  const { id } = client;
  const listen = world.node.ready.listen;
  await world.node.stop("SIGKILL");
  const seen = await world.apps[0].noted("disconnect", (note) => note.id === id);
  assert.equal(seen.reason, "transport close");
  world.nodes[0] = await startNode({ listen });
  await within(
    "the client's return",
    connected(client).catch(() => next(client, "connect")),
  );
  assert.equal(await client.emitWithAck("server"), "amber");
});

withWorld(
  "a hundred clients that come at once are all served",
  { servers: ["amber", "cobalt"], trunklineOnly: true },
  async (world) => {
    const all = Object.values(TRANSPORTS);
    const clients = Array.from({ length: 100 }, (_, number) => world.open("/", all[number % all.length]));
    await Promise.all(clients.map(connected));
    const names = await Promise.all(clients.map((client) => client.emitWithAck("server")));
    const amber = names.filter((name) => name === "amber").length;
    assert.equal(amber, 50, "half of them each");
  },
);

const SLOWLY = ["--orphan-close-per-second", "4"];

withWorld(
  "io.close() ends the process at once, and the node closes its clients at its pace",
  { servers: ["amber", "cobalt"], trunklineOnly: true, args: SLOWLY, threads: 1 },
  async (world) => {
    const byServer = await spread(world, 12, { ...TRANSPORTS.websocket, ...COMING_BACK });
    const clients = byServer.get("amber");
    let closed = 0;
    for (const client of clients) client.once("disconnect", () => (closed += 1));
    const heard = Promise.all(clients.map((client) => next(client, "bye")));
    const exited = new Promise((done) => world.app("amber").child.once("exit", done));
    await world.app("amber").run(({ io }) => {
      io.local.emit("bye");
      io.close(() => process.disconnect());
    });
    await exited;
    await heard;
    await until("the first is back, at the other app server", () =>
      world.app("cobalt").run(({ io }) => io.engine.clientsCount > 6),
    );
    assert.ok(closed < clients.length, "the last are not closed yet when the first is back");
    await until("all at the other", () => world.app("cobalt").run(({ io }) => io.engine.clientsCount === 12));
    const metrics = [...(await world.node.metrics())].filter(([name]) =>
      name.startsWith("trunkline_sessions_closed_total"),
    );
    const count = (cause) =>
      metrics.filter(([name]) => name.includes(`cause="${cause}"`)).reduce((sum, [, value]) => sum + value, 0);
    assert.deepEqual([count("server_shutting_down"), count("app_server_lost")], [6, 0]);
  },
);

withWorld(
  'with close: "at once" all clients are closed with io.close()',
  { servers: ["cobalt"], trunklineOnly: true, args: ["--orphan-close-per-second", "1"] },
  async (world) => {
    const amber = await world.startApp({ name: "amber", trunkline: { close: "at once" } });
    const byServer = await spread(world, 6, { ...TRANSPORTS.websocket, reconnection: false });
    const ends = byServer.get("amber").map((client) => next(client, "disconnect"));
    await amber.run(({ io }) => void io.close());
    for (const [reason] of await Promise.all(ends)) assert.equal(reason, "transport close");
  },
);
