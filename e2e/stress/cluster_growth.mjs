// How cost grows with the number of nodes: beats and links of a cluster at rest, and writes of an app server that has a
// trunk to each node.
import { readFileSync } from "node:fs";
import { io as connect } from "socket.io-client";
import { until } from "../../testing/wait.mjs";
import { freePort, nats } from "../../testing/daemon.mjs";
import { startApp } from "../harness/app.mjs";
import { Cluster } from "../harness/cluster.mjs";
import { round, table, watch } from "./cluster_figures.mjs";

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export async function run({ seconds, rate, nodes: sizes, apps, threads }) {
  const rows = [];
  let good = true;
  for (const size of String(sizes).split(",").map(Number)) {
    process.stderr.write(`  … ${size} nodes: about ${2 * seconds + 10} s\n`);
    const one = await measured(size, { seconds, rate, apps, threads });
    rows.push(one.row);
    for (const fault of one.faults) console.log(`  ${size} nodes: ${fault}`);
    good &&= one.faults.length === 0;
  }
  const heads = [
    "nodes",
    "NATS in/s",
    "out/s",
    "NATS CPU",
    "node CPU",
    "node MiB",
    "app µs/cast",
    "node µs/cast",
    "NATS µs/cast",
  ];
  table(`at rest, then ${rate} broadcasts/s to one client at each node; CPU in ‰ of a core`, heads, rows);
  return good;
}

async function measured(size, { seconds, rate, apps: servers, threads }) {
  const monitor = await freePort();
  const broker = await nats(`http: 127.0.0.1:${monitor}`);
  const cluster = await Cluster.start({ nodes: size, threads, broker, balanced: false });
  const [apps, clients, faults] = [[], [], []];
  const counts = async () => (await fetch(`http://127.0.0.1:${monitor}/varz`)).json();
  try {
    for (let number = 0; number < servers; number += 1) {
      const trunkline = { endpoint: cluster.endpoint };
      apps.push(await startApp({ app: "../stress/cluster_app", name: `app${number}`, trunkline }));
    }
    await cluster.trunks(servers);
    const heard = cluster.nodes.map(() => 0);
    for (const [index, { url }] of cluster.nodes.entries()) {
      const client = connect(url, { transports: ["websocket"], forceNew: true, reconnection: false });
      client.on("news", () => (heard[index] += 1));
      client.on("disconnect", (reason) => reason === "io client disconnect" || faults.push(reason));
      clients.push(client);
    }
    await until("all clients", () => clients.every(({ connected }) => connected));
    const groups = {
      nodes: cluster.nodes.map(({ child }) => child.pid),
      nats: [broker.child.pid],
      apps: apps.map(({ child }) => child.pid),
    };

    const [before, atRest] = [await counts(), watch(groups)];
    await pause(seconds * 1_000);
    const [after, resting] = [await counts(), atRest()];
    const rss = groups.nodes.map(
      (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1_024,
    );

    const casting = watch(groups);
    for (const app of apps) await app.run((context, everyMs) => context.begin(everyMs), (1_000 * servers) / rate);
    await pause(seconds * 1_000);
    const ended = await Promise.all(apps.map((app) => app.run((context) => context.end())));
    const casts = ended.reduce((sum, answer) => sum + answer.casts, 0);
    await until("the last broadcasts", () => heard.every((number) => number >= casts)).catch(() => {});
    const used = casting();
    for (const [index, number] of heard.entries())
      if (number !== casts) faults.push(`node ${index}: ${number} of ${casts} came`);

    const perMille = (us) => round(us / seconds / 1e3, 2);
    const perCast = (name, divisor = 1) => round((used[name] - resting[name]) / casts / divisor);
    const row = [
      size,
      ...["in_msgs", "out_msgs"].map((name) => round((after[name] - before[name]) / seconds)),
      perMille(resting.nats),
      perMille(resting.nodes / size),
      round(rss.reduce((sum, one) => sum + one, 0) / size),
      perCast("apps"),
      perCast("nodes", size),
      perCast("nats"),
    ];
    return { row, faults };
  } finally {
    for (const client of clients) client.disconnect();
    await Promise.all(apps.map((app) => app.stop()));
    await cluster.stop();
    await broker.stop("SIGKILL");
  }
}
