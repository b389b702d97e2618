// The whole installation, and everything that may fail in it: three nodes, three NATS servers, a balancer, three app
// servers, clients of all transports in JavaScript and Python. What they say and hear is judged at the end.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before, describe } from "node:test";
import { fileURLToPath } from "node:url";
import { CuttingProxy } from "../../testing/cutting_proxy.mjs";
import { until } from "../../testing/wait.mjs";
import { startApp } from "../harness/app.mjs";
import { Cluster, figure } from "../harness/cluster.mjs";
import { Log } from "../harness/log.mjs";
import { clusterOf, complete, readiness } from "../harness/members.mjs";
import { PLAIN } from "../harness/world.mjs";
import { DeployClient } from "../stress/deploys_client.mjs";
import { judge } from "../stress/deploys_oracle.mjs";
import { MODES } from "../stress/deploys_stage.mjs";

const PYTHON =
  process.env.E2E_PYTHON ?? fileURLToPath(new URL("../../target/xtask/python/bin/python", import.meta.url));
const TELLER = fileURLToPath(new URL("../apps/teller.py", import.meta.url));
const OPTIONS = {
  connectionStateRecovery: { maxDisconnectionDuration: 60_000 },
  pingInterval: 1_000,
  pingTimeout: 2_000,
};
const BALANCED = 12;
const DIRECT = 4;
const SAY_EVERY_MS = 100;
const NEWS_EVERY_MS = 50;
const LATE = { withinMs: 30_000 };

/** A Python client that says and hears the same as the others. */
class Teller {
  constructor(url, number, transport) {
    this.number = number;
    this.child = spawn(PYTHON, [TELLER, url, String(number), transport], { stdio: ["pipe", "pipe", "pipe"] });
    this.log = new Log("python", this.child);
  }

  async line(number) {
    return until(
      "a line of the Python client",
      () => {
        if (this.child.exitCode) throw new Error(`it ended with ${this.child.exitCode}\n${this.log.text}`);
        return this.log.lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line))[number];
      },
      LATE,
    );
  }

  /** Lets it finish; then it can be judged. */
  async end() {
    this.child.stdin.end();
    const { said, heard, life } = await this.line(1);
    this.said = said.map(([number, outcome]) => ({ number, outcome }));
    this.heard = new Map(Object.entries(heard));
    this.life = life;
  }
}

(PLAIN ? describe.skip : describe)("a cluster of three nodes, three NATS servers and three app servers", () => {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-whole-"));
  const [apps, logs, clients, proxies, links] = [[], [], [], [], []];
  let cluster;
  let teller;
  let timer;

  before(async () => {
    // App servers reach the nodes through proxies, whose streams the test can cut.
    const advertised = async (port) => {
      const proxy = await CuttingProxy.start(port);
      proxies.push({ port, proxy });
      return proxy.url;
    };
    // Nodes reach each NATS server through a proxy of their own.
    const linked = async (index, ports) => {
      links[index] = await Promise.all(ports.map((port) => CuttingProxy.start(port)));
      return links[index].map(({ port }) => port);
    };
    cluster = await Cluster.start({ nodes: 3, brokers: 3, advertised, linked });
    const start = async (server, index) => {
      const trunkline = { endpoint: cluster.url };
      const app = await startApp({ app: "../stress/deploys_app", name: server, options: OPTIONS, trunkline });
      apps[index] = app;
      logs[index] = { server, path: join(folder, server) };
      await app.run((context, argument) => context.begin(argument), { path: logs[index].path, everyMs: NEWS_EVERY_MS });
    };
    await Promise.all(["amber", "cobalt", "jade"].map(start));
    await cluster.trunks(3);
    const open = (url, mode) =>
      clients.push(new DeployClient(url, clients.length, { mode, reconnectionDelay: 200, reconnectionDelayMax: 500 }));
    for (let number = 0; number < BALANCED; number += 1) open(cluster.url, MODES[number % MODES.length]);
    // These are at the one node that is never away from them.
    for (let number = 0; number < DIRECT; number += 1) open(cluster.nodes[2].url, "websocket");
    teller = new Teller(cluster.url, clients.length, "polling");
    await teller.line(0);
    await everybody();
    talk();
    await answers();
  });

  after(async () => {
    clearInterval(timer);
    for (const { socket } of clients) socket.disconnect();
    teller?.child.kill("SIGKILL");
    await Promise.all(apps.map((app) => app.stop()));
    for (const proxy of [...proxies.map(({ proxy }) => proxy), ...links.flat()]) proxy.stop();
    // A node that is stopped with SIGSTOP ends by SIGKILL as well.
    await cluster?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const everybody = () => until("all clients", () => clients.every(({ socket }) => socket.connected), LATE);
  /** Lets clients say something all the time; or nothing, until all has been answered. */
  const talk = () => {
    timer = setInterval(() => clients.forEach((client) => client.say()), SAY_EVERY_MS);
  };
  const rest = () => {
    clearInterval(timer);
    return until("the last answers", () => clients.every(({ pending }) => pending === 0), LATE);
  };
  const direct = () => clients.slice(BALANCED);
  const onWebSockets = () => clients.filter(({ socket }) => socket.io.engine.transport.name === "websocket");
  /** Waits until each client has got answers to what it said from now on. */
  async function answers(which = clients) {
    const from = new Map(which.map((client) => [client, client.said.length]));
    const answered = (client) => client.said.slice(from.get(client)).some(({ outcome }) => outcome === "acked");
    await until("answers to all", () => which.every(answered), LATE);
  }
  const endsOf = (some) => some.map((client) => client.ends.length);
  /** How many nodes use a NATS server; and the server that most of them use. */
  const usersOf = (server) => links.filter((own) => own[server].streams.size > 0).length;
  const mostUsed = () => {
    const counts = cluster.brokers.map((_, server) => usersOf(server));
    const most = Math.max(...counts);
    return [counts.indexOf(most), most];
  };
  const running = () => apps.filter(({ child }) => child.exitCode === null && child.signalCode === null);

  test("a NATS server that nodes use is killed, and nobody's session ends", async () => {
    const ends = endsOf(clients);
    const [server, users] = mostUsed();
    assert.ok(users > 0);
    await cluster.brokers[server].stop("SIGKILL");
    await until("nodes at other servers", () => usersOf(server) === 0);
    await complete(cluster.nodes);
    await answers();
    assert.deepEqual(endsOf(clients), ends);
  });

  test("a NATS server that nodes use hangs until they have left it, an app server is killed meanwhile, and no WebSocket ends", async () => {
    const streams = onWebSockets();
    const ends = endsOf(streams);
    const [server] = mostUsed();
    const { child } = cluster.brokers[server];
    child.kill("SIGSTOP");
    try {
      // Whoever has a message under way at that moment would be disconnected.
      await rest();
      logs[2].crashedAt = Number(process.hrtime.bigint()) / 1e6;
      await apps[2].stop("SIGKILL");
      talk();
      await cluster.trunks(2);
      await until("nodes at other servers", () => usersOf(server) === 0, LATE);
      await complete(cluster.nodes);
    } finally {
      child.kill("SIGCONT");
    }
    await everybody();
    await answers();
    assert.deepEqual(endsOf(streams), ends);
  });

  test("the trunks to a node are cut, and nobody's session ends", async () => {
    const ends = endsOf(clients);
    const { proxy } = proxies.find(({ port }) => port === cluster.nodes[1].port);
    // An app server may have its trunk through the balancer's address.
    const trunks = proxy.streams.size;
    assert.ok(trunks > 0);
    proxy.cut();
    await until("trunks again", () => proxy.streams.size === trunks);
    await answers();
    assert.deepEqual(endsOf(clients), ends);
  });

  test("a node hangs and another one's links to NATS are dark until both count as dead; no WebSocket of the latter ends", async () => {
    const ends = endsOf(direct());
    const [first, second, third] = cluster.nodes;
    const ids = await Promise.all([second, third].map(async (node) => (await clusterOf(node)).node));
    second.child.kill("SIGSTOP");
    for (const link of links[2]) link.darken();
    try {
      await until("its own knowledge", async () => !(await clusterOf(third)).nats.reached, LATE);
      assert.equal((await readiness(third)).status, 200);
      await until(
        "their deaths",
        async () => {
          const { departed } = await clusterOf(first);
          return ids.every((id) => departed.some(({ node, presence }) => node === id && presence === "dead"));
        },
        LATE,
      );
      await answers(direct());
    } finally {
      for (const link of links[2]) link.lighten();
      second.child.kill("SIGCONT");
    }
    await complete(cluster.nodes);
    await everybody();
    await cluster.trunks(2);
    await answers();
    assert.deepEqual(endsOf(direct()), ends);
  });

  test("a node is killed, and its clients are at the others", async () => {
    const ends = endsOf(direct());
    await cluster.nodes[0].stop("SIGKILL");
    await cluster.ready();
    await everybody();
    await answers();
    assert.deepEqual(endsOf(direct()), ends);
  });

  test("every answer is whole again, and everybody who may has changed to a WebSocket", async () => {
    const count = clients.length + 1;
    const may = clients.filter(({ socket }) => socket.io.opts.transports.includes("websocket")).length;
    await until("the upgrades", () => onWebSockets().length === may, LATE);
    assert.ok((await cluster.sum("trunkline_moves_total", 'outcome="moved"')) > 0, "sessions moved");
    const [app, other] = running();
    await until(
      "all sockets",
      async () => {
        const found = await app.run(async ({ io }) => (await io.fetchSockets()).map(({ id }) => id));
        return found.length === count && new Set(found).size === count;
      },
      LATE,
    );
    await other.run(({ io }) => void io.on("who", (done) => done("another one")));
    assert.deepEqual(await app.run(({ io }) => io.serverSideEmitWithAck("who")), ["another one"]);
    for (const { socket, number } of clients) socket.on("question", (done) => done(number));
    const odd = await app.run(({ io }) => io.to("odd1").timeout(5_000).except("nobody").emitWithAck("question"));
    assert.deepEqual(
      odd.toSorted((a, b) => a - b),
      clients.map(({ number }) => number).filter((number) => number % 2 === 1),
    );
    await app.run(({ io }) => io.to("odd1").socketsJoin("joined"));
    await until(
      "the joins",
      async () =>
        (await other.run(({ io }) =>
          io
            .in("joined")
            .fetchSockets()
            .then((all) => all.length),
        )) === odd.length,
    );
    assert.ok((await figure(cluster.nodes[2], "trunkline_mesh_relayed_requests_total")) > 0, "requests were relayed");
  });

  test("nothing was lost without a word, doubled, or out of order", async () => {
    await rest();
    for (const app of running()) await app.run((context) => context.stopCasting());
    await teller.end();
    for (const log of logs) {
      const lines = readFileSync(log.path, "utf8").split("\n").filter(Boolean);
      log.entries = lines.map((line) => JSON.parse(line));
    }
    const casts = (server) =>
      logs.find((log) => log.server === server).entries.findLast(({ op }) => op === "cast").number;
    await until("the last broadcasts", () =>
      clients.every(({ life, heard }) =>
        running().every(({ name }) => heard.get(`${life} ${name}`)?.at(-1) === casts(name)),
      ),
    );
    const { violations, counts } = judge(logs, [...clients, teller], { homes: false, ofSockets: true });
    assert.deepEqual(violations, []);
    assert.ok(counts.acked > 500 && counts.news > 2_000, JSON.stringify(counts));
  });
});
