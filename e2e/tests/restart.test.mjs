// A node that ends: what clients, new clients and balancers see of it.
import assert from "node:assert/strict";
import { once } from "node:events";
import { engineUrl } from "../../testing/engine.mjs";
import { RawStream, request } from "../../testing/stream.mjs";
import { next, until } from "../../testing/wait.mjs";
import { startNode } from "../harness/node.mjs";
import { withWorld } from "../harness/test.mjs";
import { TRANSPORTS, World, connected } from "../harness/world.mjs";

const KEY = "a-key-for-nodes-that-are-started-again";
/** As in production: `serve` with its defaults. */
const serve = (args = [], listen) => startNode({ command: "serve", env: { TRUNKLINE_KEY: KEY }, args, listen });
/** The first attempt comes after half of this time at the earliest. */
const COMING_BACK = { reconnection: true, reconnectionDelay: 4000 };

/** A world whose only node is a `serve`. */
const withServe = (name, args, check) =>
  withWorld(name, { nodes: 0, servers: [], trunklineOnly: true }, async (world) => {
    world.nodes.push(await serve(args));
    await world.startApp({ name: "amber", trunkline: { key: KEY } });
    await check(world);
  });

const readiness = async (node) => {
  const answer = await fetch(`${node.adminUrl}/readyz`);
  return { status: answer.status, ...(await answer.json()) };
};
const ended = (node) => node.child.exitCode !== null || node.child.signalCode !== null;

withServe(
  "a node without a balancer is gone before its clients come back, and they find the next one",
  [],
  async (world) => {
    const clients = [];
    for (let number = 0; number < 12; number += 1) {
      const transports = number % 2 ? TRANSPORTS.websocket : TRANSPORTS.upgrade;
      clients.push(await world.client("/", { ...transports, ...COMING_BACK }));
    }
    const { node } = world;
    let early = 0;
    for (const client of clients) client.io.on("reconnect_attempt", () => (early += ended(node) ? 0 : 1));
    const exit = once(node.child, "exit");
    node.child.kill("SIGTERM");
    const [code] = await exit;
    assert.deepEqual([code, early], [0, 0]);
    assert.equal(node.log.count(/deadline of the drain has passed/), 0);
    world.nodes[0] = await serve([], node.ready.listen);
    await until("all of them back", () => clients.every((client) => client.connected));
    for (const client of clients) assert.equal(await client.emitWithAck("server"), "amber");
  },
);

withServe(
  "a long drain of a node that is alone: newcomers are served while others are closed",
  ["--drain", "6s"],
  async (world) => {
    const clients = [];
    for (let number = 0; number < 20; number += 1) clients.push(await world.client("/", TRANSPORTS.websocket));
    world.node.child.kill("SIGTERM");
    await until("the first end", () => clients.some((client) => !client.connected));
    assert.deepEqual(
      (await readiness(world.node)).causes.map(({ code }) => code),
      ["draining"],
    );
    assert.ok(
      clients.some((client) => client.connected),
      "it has hardly begun",
    );
    const newcomer = await world.client("/", TRANSPORTS.websocket);
    assert.equal(await newcomer.emitWithAck("server"), "amber");
  },
);

withServe(
  "with a balancer: first not ready, then no newcomers, then the ends",
  ["--drain-wait", "3s", "--drain", "20s"],
  async (world) => {
    const clients = [];
    for (let number = 0; number < 10; number += 1) clients.push(await world.client("/", TRANSPORTS.websocket));
    world.node.child.kill("SIGTERM");
    await until("not ready", async () => (await readiness(world.node)).status === 503);
    // The balancers have not noticed yet: clients that they send are served, and no client is sent away.
    assert.equal((await request(world.node.port, "GET", engineUrl())).status, 200);
    assert.ok(clients.every((client) => client.connected));
    await until("the first end", () => clients.some((client) => !client.connected));
    const refused = await request(world.node.port, "GET", engineUrl());
    assert.deepEqual([refused.status, JSON.parse(refused.body).error], [503, "draining"]);
    world.node.child.kill("SIGTERM");
    await until("its end", () => ended(world.node));
  },
);

withWorld("in development Ctrl-C ends the node at once", { trunklineOnly: true }, async (world) => {
  const clients = await Promise.all(
    Array.from({ length: 5 }, () => world.client("/", { ...TRANSPORTS.websocket, ...COMING_BACK })),
  );
  let early = 0;
  for (const client of clients) client.io.on("reconnect_attempt", () => (early += ended(world.node) ? 0 : 1));
  const reasons = clients.map((client) => next(client, "disconnect"));
  const exit = once(world.node.child, "exit");
  world.node.child.kill("SIGINT");
  assert.deepEqual([...(await exit), early], [0, null, 0]);
  await Promise.all(reasons);
});

withWorld("a second Ctrl-C always ends it", { args: ["--drain", "1h"], trunklineOnly: true }, async (world) => {
  await world.client("/", TRANSPORTS.websocket);
  world.app("amber").child.kill("SIGSTOP");
  world.node.child.kill("SIGINT");
  await until("its drain", () => world.node.log.count(/draining/) > 0);
  world.node.child.kill("SIGINT");
  await until("its end", () => ended(world.node));
  world.app("amber").child.kill("SIGCONT");
});

withWorld(
  "readiness: what is full is a cause, or a note where the configuration says so",
  { args: ["--sessions-max", "1"], trunklineOnly: true },
  async (world) => {
    const codes = async (node) => {
      const { status, causes, notes } = await readiness(node);
      return [status, causes.map(({ code }) => code), notes.map(({ code }) => code)];
    };
    assert.deepEqual(await codes(world.node), [200, [], []]);
    const client = await world.client("/", TRANSPORTS.websocket);
    assert.deepEqual(await codes(world.node), [503, ["sessions_full"], []]);
    client.disconnect();
    await until("room", async () => (await codes(world.node))[0] === 200);

    const streams = new World();
    try {
      const node = await startNode({ args: ["--streams-max", "2", "--unready-on", "no_app_server"] });
      streams.nodes.push(node);
      assert.deepEqual(await codes(node), [503, ["no_app_server"], []]);
      const held = [new RawStream(node.port), new RawStream(node.port)];
      await until("as many streams as may be", async () => (await codes(node))[2].includes("streams_full"));
      for (const raw of held) raw.destroy();
      await until("room", async () => (await codes(node))[2].length === 0);
      await streams.startApp({ name: "amber" });
      await until("readiness", async () => (await codes(node))[0] === 200);
      await connected(streams.open("/", TRANSPORTS.websocket));
    } finally {
      await streams.stop();
    }
  },
);
