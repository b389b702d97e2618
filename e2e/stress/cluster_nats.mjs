// NATS goes away: first one of three servers, then all of them. What clients notice, by their transport.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../testing/wait.mjs";
import { startApp } from "../harness/app.mjs";
import { Cluster } from "../harness/cluster.mjs";
import { DeployClient } from "./deploys_client.mjs";
import { judge } from "./deploys_oracle.mjs";
import { MODES, now, pause } from "./deploys_stage.mjs";
import { percentile, round, table } from "./cluster_figures.mjs";

const NEWS_EVERY_MS = 50;
const SAY_EVERY_MS = 250;
const RECONNECTION_MS = 500;

export async function run({ clients: count, seconds, nodes, apps: servers, threads, away }) {
  const cluster = await Cluster.start({ nodes, threads, brokers: 3 });
  const folder = mkdtempSync(join(tmpdir(), "trunkline-cluster-"));
  const [apps, logs, clients, rows] = [[], [], [], []];
  let timer;
  try {
    for (let number = 0; number < servers; number += 1) {
      const trunkline = { endpoint: cluster.endpoint };
      const app = await startApp({ app: "../stress/deploys_app", name: `app${number}`, trunkline });
      logs.push({ server: `app${number}`, path: join(folder, `app${number}`) });
      await app.run((context, argument) => context.begin(argument), { path: logs.at(-1).path, everyMs: NEWS_EVERY_MS });
      apps.push(app);
    }
    await cluster.trunks(servers);
    for (let number = 0; number < count; number += 1)
      clients.push(
        new DeployClient(cluster.url, number, {
          mode: MODES[number % MODES.length],
          reconnectionDelay: RECONNECTION_MS,
        }),
      );
    await until("all clients", () => clients.every(({ socket }) => socket.connected), { withinMs: 60_000 });
    timer = setInterval(() => clients.forEach((client) => client.say()), SAY_EVERY_MS);

    const phase = async (name, act, forSeconds) => {
      process.stderr.write(`  … ${name}, ${forSeconds} s\n`);
      for (const client of clients) client.longestPauseMs = 0;
      const since = now();
      await act();
      await pause(forSeconds * 1_000);
      rows.push(
        ...MODES.map((mode, index) =>
          seen(
            name,
            mode,
            clients.filter((_, at) => at % MODES.length === index),
            since,
          ),
        ),
      );
    };
    await phase("all is well", async () => {}, seconds);
    await phase("one of three NATS servers killed", () => cluster.brokers[0].stop("SIGKILL"), seconds);
    await phase("it is back", () => cluster.brokers.again(0), seconds);
    await phase(
      `all NATS servers gone for ${away} s`,
      () => Promise.all(cluster.brokers.map((one) => one.stop("SIGKILL"))),
      away,
    );
    await phase(
      "all are back",
      () => Promise.all([0, 1, 2].map((index) => cluster.brokers.again(index))),
      seconds + 10,
    );
    clearInterval(timer);
    await until("the last answers", () => clients.every(({ socket, pending }) => socket.connected && pending === 0), {
      withinMs: 30_000,
    }).catch(() => {});
    for (const app of apps) await app.run((context) => context.stopCasting());
    await pause(1_000);
    for (const log of logs)
      log.entries = readFileSync(log.path, "utf8")
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line));
    const { violations, counts } = judge(logs, clients, { homes: false });
    const heads = ["", "clients", "ends", "back", "pause ms p50", "max", "answer ms p50", "max", "failed"];
    table(`${count} clients at ${nodes} nodes, round robin`, heads, rows);
    console.log(
      `  said ${counts.said}, answered ${counts.acked}, failed ${counts.failed}, no answer ${counts.lost}, doubled ${counts.doubled}; broadcasts heard ${counts.news}, missing ${counts.gaps}`,
    );
    for (const violation of violations.slice(0, 10)) console.log(`  ${violation}`);
    return violations.length === 0;
  } finally {
    clearInterval(timer);
    for (const { socket } of clients) socket.disconnect();
    await Promise.all(apps.map((app) => app.stop()));
    await cluster.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What clients of one transport saw since then. */
function seen(name, mode, clients, since) {
  const ends = clients.flatMap((client) => client.ends.filter(({ at }) => at >= since));
  const back = clients.flatMap((client) => client.connects.filter(({ at }) => at >= since));
  const pauses = clients.map(({ longestPauseMs }) => longestPauseMs);
  const said = clients.flatMap((client) => client.said.filter(({ at }) => at >= since));
  const waits = said.filter(({ outcome }) => outcome === "acked").map(({ at, doneAt }) => doneAt - at);
  return [
    `${name}: ${mode}`,
    clients.length,
    ends.length,
    back.length,
    ...[0.5, 1].map((share) => round(percentile(pauses, share), 0)),
    ...[0.5, 1].map((share) => round(percentile(waits, share), 0)),
    said.filter(({ outcome }) => outcome === "failed").length,
  ];
}
