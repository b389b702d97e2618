// The table "When NATS is away" of docs/operate/cluster.md: what goes on without NATS, and what fails with which word.
// The rows about Azure's SDK are shown by cluster_azure, those about /readyz and nodes that start by cluster_bus.
import assert from "node:assert/strict";
import test, { after, before, describe } from "node:test";
import { engineUrl, PollingSession, socketUrl } from "../../testing/engine.mjs";
import { request } from "../../testing/stream.mjs";
import { until } from "../../testing/wait.mjs";
import { WebSocketClient } from "../../testing/websocket.mjs";
import { ClusterWorld } from "../harness/cluster_world.mjs";
import { clusterOf, readiness } from "../harness/members.mjs";
import { connected, PLAIN } from "../harness/world.mjs";

const OPTIONS = { connectionStateRecovery: { maxDisconnectionDuration: 60_000 } };
const WEBSOCKET = { transports: ["websocket"] };
const POLLING = { transports: ["polling"] };

async function withoutNats(world) {
  await world.cluster.brokers[0].stop("SIGKILL");
  await until("nodes that know it", async () => {
    const all = await Promise.all(world.nodes.map(readiness));
    return all.every(({ notes }) => notes.includes("nats_away"));
  });
}

/** A client at this node, without the balancer; it notes what it hears and why it ends. */
async function clientAt(world, node, options = WEBSOCKET) {
  const client = world.open("/", options, node.url);
  Object.assign(client, { heard: [], ends: [] });
  client.on("all", (...what) => client.heard.push(what.filter((one) => typeof one !== "function")));
  client.on("disconnect", (reason) => client.ends.push(reason));
  await connected(client);
  return client;
}

/** The answer to a request for this session at another node: whose error it names, and when to come again. */
async function refused(node, method, query) {
  const body = method === "POST" ? "2" : undefined;
  const answer = await request(node.port, method, engineUrl(query), { body });
  return [answer.status, JSON.parse(answer.body).error, answer.headers["retry-after"]];
}

// They mostly wait: for patience to end.
describe("without NATS", { concurrency: 2, skip: PLAIN }, () => {
  describe("two nodes, two app servers, and no NATS", { concurrency: 1 }, () => {
    let world;
    let clients;
    before(async () => {
      world = await ClusterWorld.start({ nodes: 2, options: OPTIONS });
      const peers = (app) => app.run(({ trunkline }) => trunkline.stats.peers);
      await until("app servers that know one another", async () =>
        (await Promise.all(world.apps.map(peers))).every((count) => count === 1),
      );
      const [one, other] = world.nodes;
      clients = await Promise.all([one, one, other, other].map((node) => clientAt(world, node)));
      await withoutNats(world);
    });
    after(() => world?.stop());

    const echoes = () => Promise.all(clients.map((client) => client.timeout(10_000).emitWithAck("echo", client.id)));

    test("WebSockets go on, and /readyz stays 200", async () => {
      assert.deepEqual(
        await echoes(),
        clients.map(({ id }) => id),
      );
      for (const node of world.nodes) assert.equal((await readiness(node)).status, 200);
    });

    test("app servers reach all clients, and one another", async () => {
      const ids = clients.map(({ id }) => id).sort();
      const [amber, cobalt] = world.apps;
      assert.deepEqual(await amber.run(async ({ io }) => (await io.fetchSockets()).map(({ id }) => id).sort()), ids);
      const joined = await amber.run(async ({ io }) => {
        io.socketsJoin("club");
        return (await io.in("club").fetchSockets()).length;
      });
      assert.equal(joined, ids.length);
      for (const client of clients) client.on("ask", (done) => done(client.id));
      assert.deepEqual((await cobalt.run(({ io }) => io.to("club").timeout(10_000).emitWithAck("ask"))).sort(), ids);
      await cobalt.run(({ io, server }) => void io.on("who", (done) => done(server)));
      assert.deepEqual(await amber.run(({ io }) => io.serverSideEmitWithAck("who")), ["cobalt"]);
    });

    test("new clients are served: over WebSockets, and over polling at one node", async () => {
      for (const node of world.nodes) {
        for (const options of [WEBSOCKET, POLLING, { transports: ["polling", "websocket"] }]) {
          const client = await clientAt(world, node, options);
          assert.equal(await client.timeout(10_000).emitWithAck("echo", 1), 1);
          if (options.transports.length === 2)
            await until("the upgrade", () => client.io.engine.transport.name === "websocket");
          client.disconnect();
        }
      }
    });

    test("polls and posts go on at their own node; all requests at another one are 503 within seconds", async () => {
      const [own, other] = world.nodes;
      const session = await PollingSession.open(own.port, { join: true });
      const query = { sid: session.sid };
      assert.match((await session.get()).body, /^40\{/);
      const probe = new WebSocketClient(other.port, socketUrl(query));
      const [get, post] = await Promise.all([refused(other, "GET", query), refused(other, "POST", query)]);
      assert.deepEqual(get, [503, "mesh_down", "1"]);
      assert.deepEqual(post, [503, "mesh_down", "1"]);
      await until("the WebSocket's refusal", () => probe.status > 0);
      assert.equal(probe.status, 503);
      // Its own node knows nothing of these requests, and the client goes on polling.
      assert.equal((await session.post('420["echo","here"]')).status, 200);
      assert.equal((await session.get()).body, '430["here"]');
    });

    test("a socket comes back at another node, with what it has missed", async () => {
      const client = await clientAt(world, world.nodes[0]);
      const { id } = client;
      const emit = (number) => world.apps[0].run(({ io }, number) => void io.emit("all", "amber", number), number);
      await emit(1);
      await until("the broadcast", () => client.heard.length === 1);
      client.io.engine.close();
      await emit(2);
      client.io.uri = world.nodes[1].url;
      client.connect();
      await connected(client);
      await until("what was missed", () => client.heard.length === 2);
      assert.deepEqual([client.recovered, client.id], [true, id]);
      client.disconnect();
    });

    test("sessions move to another app server", async () => {
      const [amber, cobalt] = world.apps;
      await amber.run(({ io }) => io.close());
      await until("the adoptions", async () => {
        return (await cobalt.run(({ trunkline }) => trunkline.stats.sessions)) >= clients.length;
      });
      assert.deepEqual(
        await echoes(),
        clients.map(({ id }) => id),
      );
      for (const { ends } of clients) assert.deepEqual(ends, []);
    });

    test("a node that stops does as always, and the other one notices when NATS is back", async () => {
      const [own, other] = world.nodes;
      await other.stop();
      assert.equal(other.child.exitCode, 0, other.log.text);
      await until("the reasons", () => clients.slice(2).every(({ ends }) => ends.length === 1));
      const members = async () => (await clusterOf(own)).members.length;
      assert.equal(await members(), 1, "nothing is decided without NATS");
      await world.cluster.brokers.again(0);
      await until("the departure", async () => (await members()) === 0);
      for (const { ends } of clients.slice(0, 2)) assert.deepEqual(ends, []);
    });
  });

  describe("two nodes, an app with session ids of its own, and no NATS", { concurrency: 1 }, () => {
    let world;
    before(async () => {
      world = await ClusterWorld.start({ nodes: 2, servers: ["amber"] });
      await world.app("amber").run(({ io }) => {
        let made = 0;
        io.engine.generateId = () => `id-${process.pid}-${++made}`;
      });
    });
    after(() => world?.stop());

    test("an id that the app made is known at its own node only", async () => {
      const [own, other] = world.nodes;
      // Both nodes have had one, and both have said so.
      await Promise.all([own, other].map(({ port }) => PollingSession.open(port)));
      const session = await PollingSession.open(own.port, { join: true });
      assert.match(session.sid, /^id-/);
      assert.match((await request(other.port, "GET", engineUrl({ sid: session.sid }))).body, /^40\{/);
      await withoutNats(world);
      // A known one, and one that the other node has not heard of.
      const late = await PollingSession.open(own.port, { join: true });
      for (const { sid } of [session, late]) {
        assert.deepEqual(await refused(other, "GET", { sid }), [503, "mesh_down", "1"]);
      }
      assert.match((await late.get()).body, /^40\{/);
    });
  });
});
