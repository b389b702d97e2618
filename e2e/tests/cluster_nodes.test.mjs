// App servers in a cluster: they find all nodes from one balanced address, and reach the clients of all of them.
import assert from "node:assert/strict";
import test, { after, before, describe } from "node:test";
import { until } from "../../testing/wait.mjs";
import { ClusterWorld } from "../harness/cluster_world.mjs";
import { connected, PLAIN } from "../harness/world.mjs";

const OPTIONS = { connectionStateRecovery: { maxDisconnectionDuration: 60_000 } };
const PER_NODE = 3;

/** A cluster whose app servers know only the balancer. */
class NodesWorld extends ClusterWorld {
  /** Clients at each node that runs, without the balancer. */
  async eachNode(options = {}) {
    const at = this.cluster.running.flatMap((node) => Array.from({ length: PER_NODE }, () => node));
    return Promise.all(
      at.map(async ({ url }) => {
        const client = this.open("/", { transports: ["websocket"], ...options }, url);
        Object.assign(client, { url, heard: [], ends: [] });
        client.on("all", (...what) => client.heard.push(what));
        client.on("disconnect", (reason) => client.ends.push(reason));
        await connected(client);
        return client;
      }),
    );
  }
}

const stats = (app) => app.run(({ trunkline }) => trunkline.stats);
const unlessPlain = PLAIN ? describe.skip : describe;

/** Each app server broadcasts; each client must hear all of it once and in order. */
async function everybodyHears(world, clients) {
  const say = async ({ io, server }) => {
    for (let number = 0; number < 10; number += 1) {
      io.emit("all", server, number);
      await new Promise((done) => setTimeout(done, number % 3));
    }
  };
  for (const client of clients) client.heard.length = 0;
  await Promise.all(world.apps.map((app) => app.run(say)));
  const count = 10 * world.apps.length;
  await until("all broadcasts", () => clients.every(({ heard }) => heard.length >= count));
  // What came twice would be behind it.
  await Promise.all(clients.map((client) => client.emitWithAck("echo", 1)));
  const all = Array.from({ length: 10 }, (_, number) => number);
  for (const { heard } of clients) {
    for (const { name } of world.apps)
      assert.deepEqual(
        heard.filter(([server]) => server === name).map(([, number]) => number),
        all,
      );
  }
}

unlessPlain("three nodes, two app servers with one balanced address", () => {
  let world;
  before(async () => {
    world = await NodesWorld.start({ options: OPTIONS, balanced: true });
  });
  after(() => world?.stop());

  test("what an app does reaches the clients of all nodes and app servers, once", async () => {
    const clients = await world.eachNode();
    for (const app of world.apps) {
      const { trunks, trunksUp, peers } = await stats(app);
      assert.deepEqual([trunks, trunksUp, peers], [3, 3, 1]);
    }
    await everybodyHears(world, clients);
    const [amber, cobalt] = world.apps;
    const ids = clients.map(({ id }) => id).sort();
    assert.deepEqual(await amber.run(async ({ io }) => (await io.fetchSockets()).map(({ id }) => id).sort()), ids);
    const joined = await amber.run(async ({ io }) => {
      io.socketsJoin("club");
      return (await io.in("club").fetchSockets()).length;
    });
    assert.equal(joined, clients.length);
    for (const client of clients) client.on("ask", (done) => done(client.id));
    const answers = await cobalt.run(({ io }) => io.to("club").timeout(10_000).emitWithAck("ask"));
    assert.deepEqual(answers.sort(), ids);
    await cobalt.run(({ io, server }) => void io.on("who", (done) => done(server)));
    assert.deepEqual(await amber.run(({ io }) => io.serverSideEmitWithAck("who")), ["cobalt"]);
    assert.equal(await amber.run(({ io }) => io.of("/").adapter.serverCount()), 2);
    for (const client of clients) assert.deepEqual(client.ends, []);
    world.closeClients();
  });

  test("clients that upgrade behind round robin go on at the node of their WebSocket", async () => {
    const options = { transports: ["polling", "websocket"] };
    const clients = await Promise.all(Array.from({ length: 12 }, () => world.client("/", options)));
    for (const client of clients) Object.assign(client, { heard: [], ends: [] });
    for (const client of clients) {
      client.on("all", (...what) => client.heard.push(what));
      client.on("disconnect", (reason) => client.ends.push(reason));
    }
    await everybodyHears(world, clients);
    const moved = await Promise.all(world.apps.map(async (app) => (await stats(app)).moved));
    assert.ok(moved.reduce((sum, count) => sum + count) > 0, `${moved}`);
    for (const client of clients) assert.deepEqual(client.ends, []);
    world.closeClients();
  });

  test("a socket comes back at another node, with what it has missed", async () => {
    const client = world.open("/", { transports: ["websocket"] }, world.nodes[0].url);
    const heard = [];
    client.on("all", (_server, number) => heard.push(number));
    await connected(client);
    const { id } = client;
    const emit = (number) => world.apps[0].run(({ io }, number) => void io.emit("all", "amber", number), number);
    await emit(1);
    await until("the broadcast", () => heard.length === 1);
    client.io.engine.close();
    await emit(2);
    client.io.uri = world.nodes[1].url;
    client.connect();
    await connected(client);
    await until("what was missed", () => heard.length === 2);
    assert.deepEqual([client.recovered, client.id, heard], [true, id, [1, 2]]);
    world.closeClients();
  });

  test("a node that joins is found; one that is killed is missed by nobody else; it is found again", async () => {
    await world.cluster.startNode();
    await world.cluster.ready();
    await world.cluster.trunks(2);
    const clients = await world.eachNode();
    assert.equal(new Set(clients.map(({ url }) => url)).size, 4);
    await everybodyHears(world, clients);
    const [killed] = world.nodes.splice(3, 1);
    killed.child.kill("SIGKILL");
    await until("the loss", async () => (await Promise.all(world.apps.map(stats))).every((one) => one.trunksUp === 3));
    const rest = clients.filter(({ url }) => url !== killed.url);
    await everybodyHears(world, rest);
    for (const client of rest) assert.deepEqual(client.ends, []);
    world.nodes[3] = killed;
    await world.cluster.startNode(3);
    await world.cluster.ready();
    await world.cluster.trunks(2);
    world.closeClients();
  });

  test("an app server that leaves hands over its clients at all nodes", async () => {
    const clients = await world.eachNode();
    const before = await Promise.all(world.apps.map(stats));
    assert.ok(
      before.every(({ sessions }) => sessions > 0),
      "both have clients",
    );
    const [amber, cobalt] = world.apps;
    await amber.run(({ io }) => io.close());
    await until("the adoptions", async () => (await stats(cobalt)).sessions === clients.length);
    assert.equal((await stats(cobalt)).adopted, before[0].sessions);
    world.apps = [cobalt];
    await everybodyHears(world, clients);
    for (const client of clients) assert.deepEqual(client.ends, []);
    await amber.stop();
  });
});
