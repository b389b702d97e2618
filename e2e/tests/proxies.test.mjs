// The real nginx and HAProxy, with the blocks of the documentation.
import assert from "node:assert/strict";
import { Agent } from "node:http";
import test from "node:test";
import { engineUrl, PollingSession } from "../../testing/engine.mjs";
import { RawStream, request } from "../../testing/stream.mjs";
import { until } from "../../testing/wait.mjs";
import { startApp } from "../harness/app.mjs";
import { startNode } from "../harness/node.mjs";
import { adapted, documented, freePort, haproxy, nginx } from "../harness/proxy.mjs";
import { PLAIN, World } from "../harness/world.mjs";

/** Replaces the TLS settings and names of the blocks by those of the test. */
const plainNginx = (port) => [
  ["listen 443 ssl;", `listen 127.0.0.1:${port};`],
  ["ssl_certificate     /etc/ssl/trunkline.pem;", ""],
  ["ssl_certificate_key /etc/ssl/trunkline.key;", ""],
];

/** The stream faults that a node has counted. */
async function faults(node) {
  const metrics = await node.metrics();
  return [...metrics].filter(([name, value]) => /streams_(refused|broken)_total/.test(name) && value > 0);
}

const accepted = async (node) => (await node.metrics()).get("trunkline_edge_streams_accepted_total");

const FRONTS = {
  nginx: {
    one: (node, port) =>
      nginx(adapted(documented("nginx, one node"), [["10.0.0.11:8080", node.ready.listen], ...plainNginx(port)]), port),
    several: ([a, b], port) =>
      nginx(
        adapted(documented("nginx, several nodes"), [
          ["10.0.0.11:8080", a.ready.listen],
          ["10.0.0.12:8080", b.ready.listen],
          ...plainNginx(port),
        ]),
        port,
      ),
  },
  haproxy: {
    several: ([a, b], port) =>
      haproxy(
        adapted(documented("HAProxy, several nodes"), [
          ["bind :443 ssl crt /etc/ssl/trunkline.pem", `bind 127.0.0.1:${port}`],
          // On one machine each node's admin port has a number of its own.
          ["check port 8081 inter 1s", "check inter 100ms"],
          ["10.0.0.11:8080", `${a.ready.listen} port ${a.ready.admin.split(":")[1]}`],
          ["10.0.0.12:8080", `${b.ready.listen} port ${b.ready.admin.split(":")[1]}`],
        ]),
        port,
      ),
  },
};

const unlessPlain = PLAIN ? test.skip : test;

unlessPlain(
  "behind nginx a connection that is idle for long is used again, and none of its POSTs is a 502",
  async () => {
    const world = await World.start({ args: ["--header-timeout", "300ms", "--drain", "100ms"] });
    const proxy = await FRONTS.nginx.one(world.node, await freePort());
    try {
      const session = await PollingSession.open(proxy.port, { join: true });
      const before = await accepted(world.node);
      for (let number = 0; number < 5; number += 1) {
        // Waits until a silent stream has been closed.
        await new RawStream(world.node.port).closed();
        const answer = await session.post('42["repeat",1]');
        assert.deepEqual([answer.status, answer.body], [200, "ok"]);
      }
      assert.equal(
        await accepted(world.node),
        before + 5,
        "nginx opened no other connection; five were the test's own",
      );
    } finally {
      await proxy.stop();
      await world.stop();
    }
  },
);

unlessPlain("HAProxy's health checks and its ends of idle connections are not faults", async () => {
  const world = await World.start({ args: ["--drain", "100ms"] });
  const port = await freePort();
  const proxy = await haproxy(
    `global
    tune.idle-pool.shared on
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
frontend clients
    bind 127.0.0.1:${port}
    default_backend trunkline
backend trunkline
    option tcp-check
    # Without this it resets the connection before anybody could accept it.
    tcp-check connect linger
    default-server check inter 50ms pool-purge-delay 100ms
    server a ${world.node.ready.listen}
`,
    port,
  );
  try {
    const before = await accepted(world.node);
    await until("some health checks", async () => (await accepted(world.node)) > before + 5);
    const session = await PollingSession.open(proxy.port, { join: true });
    for (let number = 0; number < 20; number += 1) assert.equal((await session.post('42["repeat",1]')).body, "ok");
    assert.equal((await request(proxy.port, "GET", engineUrl({ transport: "pigeon" }))).status, 400);
    // The trunk's stream stays, and a health check may be under way.
    await until(
      "the end of idle connections",
      async () => (await world.node.metrics()).get("trunkline_edge_streams") <= 2,
    );
    assert.deepEqual(await faults(world.node), []);
  } finally {
    await proxy.stop();
    await world.stop();
  }
});

const CLIENTS = 24;
const KINDS = [["polling", "websocket"], ["polling"], ["websocket"]];

/** A client with its own address, by which the balancers choose. */
function client(world, proxy, number) {
  return world.open(
    "/",
    {
      transports: KINDS[number % KINDS.length],
      agent: new Agent({ localAddress: `127.0.0.${10 + number}`, keepAlive: true }),
      reconnection: true,
      reconnectionDelay: 50,
      reconnectionDelayMax: 300,
    },
    proxy.url,
  );
}

/** Waits until every client has had an answer from the app. */
async function everybodyServed(when, clients) {
  const served = async (one) => one.connected && (await one.timeout(1_000).emitWithAck("echo", when)) === when;
  await Promise.all(clients.map((one, number) => until(`client ${number} ${when}`, () => served(one))));
}

const sessions = async (node) => (await (await fetch(`${node.adminUrl}/api/v1/status`)).json()).sessions;

/** Two nodes behind `front`: they are restarted one after the other, and all clients are served the whole time. */
async function rollingRestart({ several }) {
  const world = new World();
  let proxy;
  const places = [];
  for (let number = 0; number < 2; number += 1) {
    places.push({
      listen: `127.0.0.1:${await freePort()}`,
      admin: `127.0.0.1:${await freePort()}`,
      args: ["--drain", "500ms"],
    });
  }
  try {
    for (const place of places) world.nodes.push(await startNode(place));
    world.apps.push(await startApp({ trunkline: { endpoint: world.nodes.map((node) => node.url) } }));
    proxy = await several(world.nodes, await freePort());
    const clients = Array.from({ length: CLIENTS }, (_, number) => client(world, proxy, number));
    await everybodyServed("at first", clients);
    for (const node of world.nodes) assert.ok((await sessions(node)) > 0, "both nodes have clients");
    for (const [at, place] of places.entries()) {
      await world.nodes[at].stop();
      await everybodyServed(`while node ${at} is down`, clients);
      world.nodes[at] = await startNode(place);
      await until("the app's trunk to it", async () => (await world.nodes[at].metrics()).get("trunkline_trunks") === 1);
      // New clients are what a balancer sends to that node.
      for (const one of clients) one.disconnect().connect();
      await everybodyServed(`after node ${at} is back`, clients);
      assert.ok((await sessions(world.nodes[at])) > 0, "the node that is back has clients");
    }
  } finally {
    await world.stop();
    await proxy?.stop();
  }
}

unlessPlain("two nodes behind nginx, restarted one after another: whoever loses one finds the other", () =>
  rollingRestart(FRONTS.nginx),
);

unlessPlain("two nodes behind haproxy, restarted one after another: whoever loses one finds the other", () =>
  rollingRestart(FRONTS.haproxy),
);
