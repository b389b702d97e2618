// Very many clients are cut at once and return, beside clients that stay:
//
//   node stress/avalanche.mjs [--clients 10000] [--staying 200] [--workers 2] [--threads 2] [--work 0]
//                             [--only trunkline,off,plain]
//
// For each target (Trunkline, Trunkline without admission, plain Socket.IO) a row: attempts that were refused or failed,
// how long until half and all were back, the CPU time of the app server and of the node, and how long the echoes of
// those that stayed took before, during and after. `--work`: milliseconds that the app takes for each connection.
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { startApp } from "../harness/app.mjs";
import { startNode } from "../harness/node.mjs";
import { Worker } from "./worker.mjs";

const { values } = parseArgs({
  options: {
    clients: { type: "string", default: "10000" },
    staying: { type: "string", default: "200" },
    workers: { type: "string", default: "2" },
    threads: { type: "string", default: "2" },
    work: { type: "string", default: "0" },
    only: { type: "string", default: "trunkline,off,plain" },
  },
});
const PATH = "/socket.io/";
const WITHIN_MS = 180_000;

/** Seconds of CPU time that a process has used. */
function cpuOf(pid) {
  const [, rest] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ");
  const fields = rest.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function start(target) {
  if (target === "plain") {
    const app = await startApp({ app: "attacked" });
    return { port: Number(new URL(app.url).port), app };
  }
  const args = target === "off" ? ["--admission", "off"] : [];
  const node = await startNode({ threads: Number(values.threads), args });
  const app = await startApp({ app: "attacked", trunkline: { endpoint: node.url } });
  return { port: node.port, app, node };
}

async function run(target) {
  const { port, app, node } = await start(target);
  const work = Number(values.work);
  await app.run(({ io }, ms) => {
    io.use((_socket, next) => {
      for (const end = performance.now() + ms; performance.now() < end; );
      next();
    });
  }, work);
  const staying = new Worker("attacks/crowd.mjs", port, PATH, values.staying, 1);
  const each = Math.ceil(Number(values.clients) / Number(values.workers));
  const workers = Array.from(
    { length: Number(values.workers) },
    () => new Worker("avalanche_client.mjs", port, PATH, each),
  );
  try {
    for (const worker of [staying, ...workers]) await worker.hears("ready", WITHIN_MS);
    const pids = [app.child.pid, node?.child.pid].filter(Boolean);
    staying.tell({ kind: "phase", phase: "before" });
    await pause(5_000);
    const before = pids.map(cpuOf);
    staying.tell({ kind: "phase", phase: "during" });
    for (const worker of workers) worker.tell({ kind: "cut" });
    const reports = await Promise.all(workers.map((worker) => worker.hears("report", WITHIN_MS)));
    const cpu = pids.map((pid, at) => (cpuOf(pid) - before[at]).toFixed(1));
    staying.tell({ kind: "phase", phase: "after" });
    await pause(5_000);
    staying.tell({ kind: "report" });
    const { p50, p99, max, lost } = await staying.hears("report", WITHIN_MS);
    const sum = (what) => reports.reduce((total, report) => total + report[what], 0);
    const most = (what) => Math.max(...reports.map((report) => report[what]));
    const ms = (phase) => [p50, p99, max].map((of) => of[phase].toFixed(1)).join(" / ");
    console.log(
      `${target.padEnd(10)} refused ${sum("refused")}, failed ${sum("failed")}, too slow ${sum("slow")}; back: half ` +
        `${(most("half") / 1_000).toFixed(1)} s, all ${(most("all") / 1_000).toFixed(1)} s; CPU: app server and node ` +
        `${cpu.join(", ")} s; staying p50/p99/max ms: ${ms("before")} · ${ms("during")} · ${ms("after")}; lost ${lost}`,
    );
  } finally {
    for (const worker of [staying, ...workers]) await worker.stop();
    await app.stop();
    await node?.stop();
  }
}

for (const target of values.only.split(",")) await run(target);
