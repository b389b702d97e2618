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
import { clusterOf, complete } from "../harness/members.mjs";
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
  const [apps, logs, clients, proxies] = [[], [], [], []];
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
    cluster = await Cluster.start({ nodes: 3, brokers: 3, advertised });
    for (const server of ["amber", "cobalt", "jade"]) {
      const trunkline = { endpoint: cluster.url };
      const app = await startApp({ app: "../stress/deploys_app", name: server, options: OPTIONS, trunkline });
      const log = { server, path: join(folder, server) };
      await app.run((context, argument) => context.begin(argument), { path: log.path, everyMs: NEWS_EVERY_MS });
      apps.push(app);
      logs.push(log);
    }
    await cluster.trunks(3);
    const open = (url, mode) =>
      clients.push(new DeployClient(url, clients.length, { mode, reconnectionDelay: 200, reconnectionDelayMax: 500 }));
    for (let number = 0; number < BALANCED; number += 1) open(cluster.url, MODES[number % MODES.length]);
    // These are at the one node to which nothing happens.
    for (let number = 0; number < DIRECT; number += 1) open(cluster.nodes[2].url, "websocket");
    teller = new Teller(cluster.url, clients.length, "polling");
    await teller.line(0);
    await everybody();
    timer = setInterval(() => clients.forEach((client) => client.say()), SAY_EVERY_MS);
    await answers();
  });

  after(async () => {
    clearInterval(timer);
    for (const { socket } of clients) socket.disconnect();
    teller?.child.kill("SIGKILL");
    await Promise.all(apps.map((app) => app.stop()));
    for (const { proxy } of proxies) proxy.stop();
    // A node that is stopped with SIGSTOP ends by SIGKILL as well.
    await cluster?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const everybody = () => until("all clients", () => clients.every(({ socket }) => socket.connected), LATE);
  const direct = () => clients.slice(BALANCED);
  /** Waits until each client has got answers to what it said from now on. */
  async function answers(which = clients) {
    const from = new Map(which.map((client) => [client, client.said.length]));
    const answered = (client) => client.said.slice(from.get(client)).some(({ outcome }) => outcome === "acked");
    await until("answers to all", () => which.every(answered), LATE);
  }
  const running = () => apps.filter(({ child }) => child.exitCode === null && child.signalCode === null);

  test("a NATS server is killed, and nobody's session ends", async () => {
    const ends = clients.map((client) => client.ends.length);
    await cluster.brokers[0].stop("SIGKILL");
    await complete(cluster.nodes);
    await answers();
    assert.deepEqual(
      clients.map((client) => client.ends.length),
      ends,
    );
  });

  test("a NATS server hangs, and nobody's session ends", async () => {
    const ends = direct().map((client) => client.ends.length);
    const { child } = cluster.brokers[1];
    child.kill("SIGSTOP");
    try {
      await answers(direct());
    } finally {
      child.kill("SIGCONT");
    }
    await complete(cluster.nodes);
    await everybody();
    await answers();
    assert.deepEqual(
      direct().map((client) => client.ends.length),
      ends,
    );
  });

  test("the trunks to a node are cut, and nobody's session ends", async () => {
    const ends = clients.map((client) => client.ends.length);
    const { proxy } = proxies.find(({ port }) => port === cluster.nodes[1].port);
    // An app server may have its trunk through the balancer's address.
    const trunks = proxy.streams.size;
    assert.ok(trunks > 0);
    proxy.cut();
    await until("trunks again", () => proxy.streams.size === trunks);
    await answers();
    assert.deepEqual(
      clients.map((client) => client.ends.length),
      ends,
    );
  });

  test("an app server is killed, and the others take its clients over", async () => {
    logs[2].crashedAt = Number(process.hrtime.bigint()) / 1e6;
    await apps[2].stop("SIGKILL");
    await cluster.trunks(2);
    await everybody();
    await answers();
  });

  test("a node hangs until it counts as dead, and wakes", async () => {
    const ends = direct().map((client) => client.ends.length);
    const [first, second, third] = cluster.nodes;
    second.child.kill("SIGSTOP");
    try {
      const peers = async (node) => (await clusterOf(node)).members.filter(({ presence }) => presence === "up").length;
      await until("its death", async () => (await peers(first)) === 1 && (await peers(third)) === 1, LATE);
      await answers(direct());
    } finally {
      second.child.kill("SIGCONT");
    }
    await complete(cluster.nodes);
    await everybody();
    await cluster.trunks(2);
    await answers();
    assert.deepEqual(
      direct().map((client) => client.ends.length),
      ends,
    );
  });

  test("a node is killed, and its clients are at the others", async () => {
    const ends = direct().map((client) => client.ends.length);
    await cluster.nodes[0].stop("SIGKILL");
    await cluster.ready();
    await everybody();
    await answers();
    assert.deepEqual(
      direct().map((client) => client.ends.length),
      ends,
    );
  });

  test("every answer is whole again", async () => {
    const count = clients.length + 1;
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
    clearInterval(timer);
    await until("the last answers", () => clients.every(({ pending }) => pending === 0), LATE);
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
    const { violations, counts } = judge(logs, [...clients, teller], { homes: false });
    assert.deepEqual(violations, []);
    assert.ok(counts.acked > 500 && counts.news > 2_000, JSON.stringify(counts));
  });
});
