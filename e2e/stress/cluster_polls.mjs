// Clients that only poll, through plain round robin: two thirds of their requests reach a node that does not hold them.
import { createRequire } from "node:module";
import { startBalancer, startRedis } from "../../bench/lib/servers.mjs";
import { Cluster } from "../harness/cluster.mjs";
import { benchApp, groupsOf, load } from "./cluster_load.mjs";
import { round, table } from "./cluster_figures.mjs";

const PARTS = ["nodes", "nats", "haproxy", "apps", "redis"];

export async function run({ clients, seconds, rounds, rate = clients, nodes, apps, threads }) {
  const systems = [
    [`${nodes} nodes, round robin`, () => ours(nodes, apps, threads)],
    ["one node, no cluster", () => ours(1, apps, threads, true)],
    [`${apps} socket.io + Redis, sticky`, () => plain(apps)],
  ];
  const rows = [];
  let good = true;
  for (let number = 1; number <= rounds; number += 1) {
    for (const [name, start] of systems) {
      process.stderr.write(`  … ${name}, round ${number} of ${rounds}: about ${seconds + 10} s\n`);
      const { row, faults } = await measured(name, await start(), { clients, seconds, rate });
      rows.push(row);
      good &&= faults.length === 0;
      for (const fault of faults) console.log(`  ${name}: ${fault}`);
    }
  }
  const heads = ["", "messages", "lost, doubled", "unknown sid", "p50 ms", "p99 ms", ...PARTS, "sum µs", "relayed"];
  table(`${clients} clients that only poll, ${rate} messages/s for ${seconds} s; CPU in µs per message`, heads, rows);
  return good;
}

async function measured(name, { urls, groups, relayed, stop }, { clients, seconds, rate }) {
  try {
    const before = await relayed();
    const args = ["--clients", clients, "--rate", rate, "--duration", seconds, "--transport", "polling", "--warmup", 2];
    const report = await load("echo", urls, groups, args);
    const { round_trip: trip = {} } = report.latency_ms;
    const cpus = PARTS.map((part) => (groups[part] ? report.cpu(part) : undefined));
    const sum = cpus.reduce((all, cpu) => all + (cpu ?? 0), 0);
    const row = [
      name,
      report.counters.round_trips,
      report.faults.length === 0 ? "0" : `${report.faults.length} faults`,
      report.unknown,
      round(trip.p50),
      round(trip.p99),
      ...cpus.map((cpu) => round(cpu)),
      round(sum),
      (await relayed()) - before,
    ];
    return { row, faults: report.faults };
  } finally {
    await stop();
  }
}

async function ours(nodes, count, threads, alone = false) {
  const cluster = await Cluster.start({ nodes, threads, alone });
  const apps = [];
  const stop = async () => {
    await Promise.all(apps.map((app) => app.stop()));
    await cluster.stop();
  };
  try {
    for (let number = 0; number < count; number += 1)
      apps.push(await benchApp({ TRUNKLINE_ENDPOINT: cluster.endpoint }));
    await cluster.trunks(count);
    const relayed = () => cluster.sum("trunkline_mesh_relayed_requests_total", 'side="asked"');
    return { urls: [cluster.url], groups: groupsOf(cluster, apps), relayed, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function plain(count) {
  // The adapter and its client are packages of the benchmarks.
  createRequire(new URL("../../bench/package.json", import.meta.url)).resolve("@socket.io/redis-adapter");
  const redis = await startRedis("anywhere");
  const apps = [];
  let balancer;
  const stop = async () => {
    await balancer?.stop();
    await Promise.all(apps.map((app) => app.stop()));
    await redis.stop();
  };
  try {
    for (let number = 0; number < count; number += 1) apps.push(await benchApp({ REDIS_URL: redis.url }));
    balancer = await startBalancer(apps, "anywhere");
    const groups = { redis: [redis.pid], haproxy: [balancer.pid], apps: apps.map(({ pid }) => pid) };
    return { urls: [balancer.url], groups, relayed: async () => 0, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
