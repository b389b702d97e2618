// The installation for tests and stress runs in which app servers come, leave, crash and lose their streams.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../testing/wait.mjs";
import { startApp } from "../harness/app.mjs";
import { readMetrics } from "../harness/metrics.mjs";
import { startNode } from "../harness/node.mjs";
import { freePort, haproxy } from "../harness/proxy.mjs";
import { DeployClient } from "./deploys_client.mjs";
import { judge } from "./deploys_oracle.mjs";

/** The machine's monotonic clock in ms, the same for all processes. */
export const now = () => Number(process.hrtime.bigint()) / 1e6;
export const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const SERVER_OPTIONS = { connectionStateRecovery: { maxDisconnectionDuration: 60_000 }, pingTimeout: 60_000 };
/** Clients that connect at once, so that the listen queue of a plain process is not the subject. */
const CONNECTING = 200;
export const MODES = ["websocket", "polling", "upgrade"];

/** An installation with its app servers, of which some have ended, and its clients. */
export class Stage {
  apps = [];
  clients = [];
  #logs = [];
  #started = 0;
  #busy;

  /** `everyMs`: between two messages of a busy client; `newsMs`: between two broadcasts of an app server. */
  static async open({ threads = 2, everyMs = 200, newsMs = 50, plain = false } = {}) {
    const stage = new Stage();
    Object.assign(stage, { everyMs, newsMs, plain });
    stage.folder = mkdtempSync(join(tmpdir(), "trunkline-deploys-"));
    if (plain) {
      stage.ports = [await freePort(), await freePort()];
      const port = await freePort();
      stage.balancer = await haproxy(balancer(port, stage.ports), port);
      stage.url = stage.balancer.url;
    } else {
      stage.node = await startNode({ threads });
      stage.url = stage.node.url;
    }
    return stage;
  }

  /** Starts one more app server; `endpoint` is where its trunk goes. */
  async start(endpoint = this.node?.url) {
    this.#started += 1;
    const name = `app${this.#started}`;
    const app = await startApp({
      name,
      app: "../stress/deploys_app",
      options: SERVER_OPTIONS,
      trunkline: this.plain ? undefined : { endpoint },
    });
    if (this.plain) await app.run(({ io }, port) => void io.listen(port), this.ports[this.#started - 1]);
    const log = { server: name, path: join(this.folder, name) };
    this.#logs.push(log);
    app.entry = log;
    await app.run((context, argument) => context.begin(argument), { path: log.path, everyMs: this.newsMs });
    this.apps.push(app);
    return app;
  }

  /** Connects the clients, first those that say something. */
  async connect(busy, idle, modes = ["websocket"]) {
    const all = busy + idle;
    for (let number = 0; number < all; number += 1) {
      this.clients.push(new DeployClient(this.url, number, { mode: modes[number % modes.length] }));
      if (number % CONNECTING === CONNECTING - 1 || number === all - 1) {
        await until("clients", () => this.clients.every(({ socket }) => socket.connected), { withinMs: 60_000 });
        if (all > 2_000) process.stderr.write(`\r${number + 1} of ${all} clients `);
      }
    }
    const talkers = this.clients.slice(0, busy);
    let turn = 0;
    const steps = 20;
    this.#busy = setInterval(() => {
      turn += 1;
      for (let at = turn % steps; at < talkers.length; at += steps) talkers[at].say();
    }, this.everyMs / steps);
  }

  /** Ends an app server as `kill -9` does. */
  async kill(app) {
    app.entry.crashedAt = now();
    await app.stop("SIGKILL");
    this.#remove(app);
  }

  /** Ends an app server as a deploy does. */
  async leave(app) {
    await app.run((context) => context.leave());
    await app.stop("SIGTERM");
    this.#remove(app);
  }

  #remove(app) {
    this.apps.splice(this.apps.indexOf(app), 1);
  }

  metrics = async () =>
    this.node === undefined ? new Map() : readMetrics(await (await fetch(`${this.node.adminUrl}/metrics`)).text());

  /** Stops what clients and app servers do, waits until nothing is under way, and judges. */
  async close(rules) {
    clearInterval(this.#busy);
    const quiet = () => this.clients.every((client) => client.socket.connected && client.pending === 0);
    await until("the last answers", quiet, { withinMs: 45_000 }).catch(() => {});
    const metrics = await this.metrics();
    for (const app of this.apps) await app.run(({ io }) => io.sockets.sockets.size);
    // The last broadcasts come after this; the app servers' files then have no more of them than clients heard.
    for (const app of [...this.apps]) await app.run((context) => context.stopCasting());
    await pause(1_000);
    const logs = this.#logs.map((log) => ({ ...log, entries: readLines(log.path) }));
    const judged = judge(logs, this.clients, rules);
    for (const { socket } of this.clients) socket.disconnect();
    await Promise.all(this.apps.map((app) => app.stop()));
    await this.node?.stop();
    await this.balancer?.stop();
    this.proxy?.stop();
    rmSync(this.folder, { recursive: true, force: true });
    return { ...judged, metrics, logs };
  }
}

function balancer(port, ports) {
  return `defaults
  mode tcp
  timeout connect 1s
  timeout client 1h
  timeout server 1h
  maxconn 40000
frontend all
  bind 127.0.0.1:${port}
  default_backend apps
backend apps
  balance roundrobin
  option redispatch
${ports.map((each, index) => `  server app${index} 127.0.0.1:${each} check inter 200ms fall 2 rise 1`).join("\n")}
`;
}

function readLines(path) {
  const lines = readFileSync(path, "utf8").split("\n");
  lines.pop();
  return lines.map((line) => JSON.parse(line));
}
