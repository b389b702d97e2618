// Holds as many sessions as requested on this machine, both ends of them: nodes, app servers and clients. They exchange
// heartbeats for a while, then receive one broadcast. `node bench/million.mjs [--sessions 1000000] [--hold 600]`;
// deploy/limits.sh prints what Linux must allow.
//
// One node could hold them all. Where a process may not have that many descriptors, each node takes as many as fit, and
// every app server has a trunk to each node.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { commit, machine } from "./lib/machine.mjs";
import { clientsThatFit, pidsBelow } from "./lib/processes.mjs";
import { startApp, startTrunkline } from "./lib/servers.mjs";

const NOT_PINNED = "anywhere";
const SAMPLE_MS = 5_000;
const MIB = 2 ** 20;
const { values } = parseArgs({
  options: {
    sessions: { type: "string", default: "1000000" },
    // Sessions of each node; the rest of its descriptors serves trunks, probes and the admin port.
    "per-node": { type: "string", default: String(clientsThatFit(1) - 1_000) },
    "app-servers": { type: "string", default: "2" },
    // Seconds between the last client's joining and the broadcast.
    hold: { type: "string", default: "600" },
    // Simultaneous handshakes of each client process.
    connecting: { type: "string", default: "6" },
    trunkline: { type: "string", default: new URL("../target/release/trunkline", import.meta.url).pathname },
    json: { type: "string" },
  },
});
const sessions = Number(values.sessions);
const hold = Number(values.hold);
const nodesWanted = Math.ceil(sessions / Number(values["per-node"]));
const running = [];
const started = performance.now();
const say = (text) =>
  process.stderr.write(`${((performance.now() - started) / 1000).toFixed(0).padStart(5)} s  ${text}\n`);

async function main() {
  const before = memory();
  say(
    `${sessions} sessions on ${nodesWanted} nodes, ${values["app-servers"]} app servers; memory in use before: ${mib(before.used)} MiB`,
  );
  const nodes = [];
  for (let index = 0; index < nodesWanted; index++) {
    nodes.push(await keep(startTrunkline(values.trunkline, ["--threads", 1, "--node-number", index], NOT_PINNED)));
  }
  const endpoint = nodes.map(({ url }) => url).join(",");
  const apps = [];
  for (let index = 0; index < Number(values["app-servers"]); index++) {
    apps.push(
      await keep(
        startApp({ TRUNKLINE_ENDPOINT: endpoint, NODE_OPTIONS: "--max-old-space-size=6144" }, undefined, NOT_PINNED),
      ),
    );
  }
  say("nodes and app servers are ready");
  const owners = { nodes: nodes.map(({ pid }) => pid), "app servers": apps.map(({ pid }) => pid) };
  const samples = [];
  const report = await clients(nodes, owners, (owner) => samples.push(sample(before, owners, owner)));
  const result = {
    date: new Date().toISOString(),
    commit: commit(),
    machine: machine(),
    ...summary(report, samples),
    samples: sparse(samples),
    report: told(report),
  };
  if (values.json) writeFileSync(values.json, `${JSON.stringify(result, undefined, 1)}\n`);
  console.log(table(result));
  if (result.lost > 0)
    for (const one of [...apps, nodes[0]]) say(`the last words of ${one.name} ${one.pid}:\n${one.words()}`);
  process.exitCode = report.complete && result.lost === 0 ? 0 : 1;
}

/** One sample per minute. */
const sparse = (samples) => samples.filter((_, index) => index % (60_000 / SAMPLE_MS) === 0);

/** The report without ports, process ids and seconds of this run. */
function told(report) {
  const processes = Object.entries(report.processes).map(([name, { pids, ...figures }]) => [name, figures]);
  const { urls, command, series, distribution_ms, ...figures } = report;
  return { ...figures, processes: Object.fromEntries(processes) };
}

async function keep(starting) {
  const one = await starting;
  running.push(one);
  return one;
}

/** Runs the clients and returns their report. `watch` is called at intervals with the pid of their process. */
async function clients(nodes, owners, watch) {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-million-"));
  const json = join(folder, "report.json");
  const named = Object.entries(owners).flatMap(([name, pids]) =>
    pids.flatMap((pid) => ["--process", `${name.replace(" ", "_")}=${pid}`]),
  );
  const urls = nodes.flatMap(({ url }) => ["--url", url]);
  const load = ["fanout", "--count", 1, "--hold", hold, "--warmup", 0, "--payload", 128, "--time-limit", 3_600];
  const args = [
    "bench",
    ...load,
    "--clients",
    sessions,
    "--connecting",
    values.connecting,
    ...urls,
    ...named,
    "--json",
    json,
  ];
  const child = spawn(values.trunkline, args.map(String), { stdio: ["ignore", "ignore", "inherit"] });
  running.push({ stop: () => child.kill("SIGKILL") });
  // Call it at once, because a run may be shorter than the interval.
  watch(child.pid);
  const timer = setInterval(() => watch(child.pid), SAMPLE_MS);
  try {
    const code = await new Promise((resolve, reject) => child.on("error", reject).on("exit", resolve));
    return { ...JSON.parse(readFileSync(json, "utf8")), complete: code === 0 };
  } finally {
    clearInterval(timer);
    rmSync(folder, { recursive: true });
  }
}

/** The memory that the machine uses beyond the use before the run, and who uses it. */
function sample(before, owners, generator) {
  const { used, slab, buffers } = memory();
  const all = { ...owners, generator: pidsBelow(generator) };
  const resident = Object.entries(all).map(([name, pids]) => [
    name,
    pids.reduce((sum, pid) => sum + proportional(pid), 0),
  ]);
  return {
    at_s: (performance.now() - started) / 1000,
    used: used - before.used,
    kernel: slab - before.slab,
    buffers,
    ...Object.fromEntries(resident),
  };
}

/**
 * Proportional memory: a shared page is divided among the processes that share it. A process that has ended has none.
 */
function proportional(pid) {
  try {
    return Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))[1]) * 1024;
  } catch {
    return 0;
  }
}

/** `used`: memory that is neither free nor can be reclaimed. */
function memory() {
  const text = readFileSync("/proc/meminfo", "utf8");
  const of = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)[1]) * 1024;
  const pages = Number(/^TCP: .* mem (\d+)$/m.exec(readFileSync("/proc/net/sockstat", "utf8"))[1]);
  return { used: of("MemTotal") - of("MemAvailable"), slab: of("Slab"), buffers: pages * 4096 };
}

function summary(report, samples) {
  const peak = samples.reduce((most, one) => (one.used > most.used ? one : most), samples[0]);
  const lost = Object.values(report.losses).reduce((sum, count) => sum + count, 0);
  return { sessions, nodes: nodesWanted, app_servers: Number(values["app-servers"]), hold_s: hold, peak, lost };
}

function table({ peak, lost, report }) {
  const owner = (name) => `| ${name} | ${mib(peak[name])} | ${(peak[name] / sessions).toFixed(0)} |`;
  const { delivery, last_delivery } = report.latency_ms;
  return [
    `| memory at its highest | MiB | bytes/session |`,
    `|---|---:|---:|`,
    ...["nodes", "app servers", "generator", "kernel", "used"].map(owner),
    ``,
    `| | |`,
    `|---|---:|`,
    `| sessions | ${report.joined} |`,
    `| all connected after | ${seconds(report.connected_s)} |`,
    `| held for | ${hold} s |`,
    `| pings answered | ${report.counters.heartbeats} |`,
    `| lost | ${lost} |`,
    `| broadcast: first, median, 99 %, last client | ${[delivery.min, delivery.p50, delivery.p99, last_delivery.max].map((ms) => seconds(ms / 1000)).join(", ")} |`,
    `| broadcast: deliveries | ${report.counters.deliveries} |`,
  ].join("\n");
}

const mib = (bytes) => (bytes / MIB).toFixed(0);
const seconds = (value) => (value === undefined ? "?" : `${value.toFixed(2)} s`);

async function end() {
  await Promise.all(running.splice(0).map((one) => one.stop()));
}

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => end().then(() => process.exit(130)));
try {
  await main();
} finally {
  await end();
}
