// The blocks of docs/operate/cluster.md in the real nginx and HAProxy, with nodes of one cluster behind them.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { until } from "../../testing/wait.mjs";
import { startApp } from "../harness/app.mjs";
import { Cluster, figure } from "../harness/cluster.mjs";
import { adapted, documented, freePort, haproxy, nginx } from "../harness/proxy.mjs";
import { PLAIN, TRANSPORTS, World } from "../harness/world.mjs";

const unlessPlain = PLAIN ? test.skip : test;
/** How many of the nodes are restarted. */
const RESTARTED = 2;
const ADDRESSES = ["10.0.0.11:8080", "10.0.0.12:8080", "10.0.0.13:8080"];
const KINDS = Object.keys(TRANSPORTS);
const CLIENTS = 12;

const FRONTS = {
  nginx: {
    // nginx does not ask /readyz.
    wait: "1ms",
    start: (nodes, port) =>
      nginx(
        adapted(documented("nginx in front of a cluster", "cluster"), [
          ...nodes.map(({ ready }, index) => [ADDRESSES[index], ready.listen]),
          ["listen 443 ssl;", `listen 127.0.0.1:${port};`],
          ["ssl_certificate     /etc/ssl/trunkline.pem;", ""],
          ["ssl_certificate_key /etc/ssl/trunkline.key;", ""],
        ]),
        port,
      ),
  },
  haproxy: {
    wait: "400ms",
    start: (nodes, port) =>
      haproxy(
        adapted(documented("HAProxy in front of a cluster", "cluster"), [
          ["bind :443 ssl crt /etc/ssl/trunkline.pem", `bind 127.0.0.1:${port}`],
          // On one machine each node's admin port has a number of its own.
          ["check port 8081 inter 1s", "check inter 100ms"],
          ...nodes.map(({ ready }, index) => [ADDRESSES[index], `${ready.listen} port ${ready.admin.split(":")[1]}`]),
        ]),
        port,
      ),
  },
};

/** Waits until every client has had an answer from the app. */
async function everybodyServed(when, clients) {
  const served = async (one) => one.connected && (await one.timeout(1_000).emitWithAck("echo", when)) === when;
  await Promise.all(clients.map((one, number) => until(`client ${number} ${when}`, () => served(one))));
}

async function behind({ wait, start }) {
  const world = new World();
  let cluster;
  let proxy;
  try {
    cluster = await Cluster.start({ nodes: 3, balanced: false, args: ["--drain-wait", wait, "--drain", "300ms"] });
    proxy = await start(cluster.nodes, await freePort());
    for (const name of ["amber", "cobalt"]) {
      // One address leads to any node, and from there to all.
      world.apps.push(await startApp({ name, trunkline: { endpoint: proxy.url } }));
    }
    await cluster.trunks(2);
    const clients = Array.from({ length: CLIENTS }, (_, number) =>
      world.open(
        "/",
        {
          ...TRANSPORTS[KINDS[number % KINDS.length]],
          reconnection: true,
          reconnectionDelay: 50,
          reconnectionDelayMax: 300,
        },
        proxy.url,
      ),
    );
    await everybodyServed("at first", clients);
    const upgrading = clients.filter((_, number) => KINDS[number % KINDS.length] === "upgrade");
    await until("the upgrades", () => upgrading.every(({ io }) => io.engine.transport.name === "websocket"));
    // A node gives the mesh's figures once in a while, not with each request.
    const relayed = () => cluster.sum("trunkline_mesh_relayed_requests_total", 'side="asked"');
    await until("polls at other nodes", async () => (await relayed()) > 0);
    let moved = 0;
    for (let at = 0; at < RESTARTED; at += 1) {
      moved += await figure(cluster.nodes[at], "trunkline_moves_total", 'outcome="moved"');
      await cluster.nodes[at].stop();
      await everybodyServed(`while node ${at} is down`, clients);
      await cluster.startNode(at);
      await cluster.ready();
      await cluster.trunks(2);
      // Newcomers are what a balancer sends to that node.
      for (const one of clients) one.disconnect().connect();
      await everybodyServed(`after node ${at} is back`, clients);
    }
    moved += await cluster.sum("trunkline_moves_total", 'outcome="moved"');
    assert.ok(moved > 0, "sessions moved with their WebSockets");
  } catch (error) {
    error.stack += `\n${cluster?.logs.split("\n").slice(-60).join("\n")}`;
    throw error;
  } finally {
    await world.stop();
    await proxy?.stop();
    await cluster?.stop();
  }
}

describe("balancers in front of a cluster", { concurrency: true }, () => {
  unlessPlain("a cluster behind haproxy: nodes are restarted one after another, and everybody is served", () =>
    behind(FRONTS.haproxy),
  );

  unlessPlain("a cluster behind nginx: nodes are restarted one after another, and everybody is served", () =>
    behind(FRONTS.nginx),
  );
});
