// Strangers attack a node beside thousands of clients that echo:
//
//   node stress/attacks.mjs [--only answers-unread,payload-flood] [--clients 2000] [--seconds 10] [--rate 1]
//                           [--threads 2] [--calm 5] [--same-app] [--json FILE] [--list]
//
// For each attack a table row: what the echoing clients lost, their 99th percentile before, during and after it, the
// node's memory before, at most and after, the CPU of attackers and node, what the attackers got, and which counters
// named it. Each attack ends by itself. `nothing` is the row to compare with: there, attackers only burn CPU. Exit code
// 1 when anything was lost, when no counter named an attack that one should name, or when the percentile during it is
// more than three times that before (and more than 30 ms).
//
// The clients and the attackers are processes of their own; unless `--same-app`, the clients have an app server of
// their own too, so that what is seen is the node. The clients come from 127.0.0.1, which has no limits per address;
// most attackers come from elsewhere.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { engineUrl, PollingSession } from "../../testing/engine.mjs";
import { requestText } from "../../testing/http.mjs";
import { RawStream } from "../../testing/stream.mjs";
import { DEVELOPMENT_KEY } from "../../testing/token.mjs";
import { until } from "../../testing/wait.mjs";
import { startApp } from "../harness/app.mjs";
import { startNode } from "../harness/node.mjs";
import { ATTACKS } from "./attacks/kinds.mjs";
import { Worker } from "./worker.mjs";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    clients: { type: "string", default: "2000" },
    seconds: { type: "string", default: "10" },
    rate: { type: "string", default: "1" },
    threads: { type: "string", default: "2" },
    calm: { type: "string", default: "5" },
    "same-app": { type: "boolean", default: false },
    json: { type: "string" },
    list: { type: "boolean", default: false },
  },
});
if (values.list) {
  for (const [name, { what }] of Object.entries(ATTACKS)) console.log(`${name.padEnd(20)} ${what}`);
  process.exit(0);
}
const seconds = Number(values.seconds);
const calmMs = Number(values.calm) * 1_000;
const chosen = values.only?.split(",") ?? Object.keys(ATTACKS);
const unknown = chosen.filter((name) => !ATTACKS[name]);
if (unknown.length > 0) throw new Error(`no such attack: ${unknown.join(", ")}; --list has them`);

const ALLOWED_RATIO = 3;
/** Below this, a percentile is noise of the machine. */
const NOISE_MS = 30;
const MB = 1_000_000;
const CALM_PATH = "/clients/socketio/hubs/calm/";
const HUBS = `[hub.default]\ndefault = true\nkeys = ["${DEVELOPMENT_KEY}"]\n\n[hub.calm]\nkeys = ["${DEVELOPMENT_KEY}"]\n`;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

const statusOf = (pid) => readFileSync(`/proc/${pid}/status`, "utf8");
const megabytes = (pid, field) => (Number(new RegExp(`${field}:\\s+(\\d+)`).exec(statusOf(pid))[1]) * 1024) / MB;

/** The CPU time of a process so far. */
function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Clients that should connect or be served despite the attack; counts those that were. */
async function others(node, app, sids, state) {
  const served = { newcomers: [0, 0], sessions: [0, 0], trunks: [0, 0] };
  const note = (what, ok) => {
    served[what][ok ? 0 : 1] += 1;
  };
  while (!state.over) {
    const newcomer = new RawStream(node.port).write(
      requestText("GET", engineUrl(), { headers: { connection: "close" } }),
    );
    const ended = await Promise.race([newcomer.end.then(() => true), pause(5_000)]);
    note("newcomers", ended && newcomer.status === 200);
    newcomer.destroy();
    // None where pings come so often that these sessions have ended.
    if (sids.length > 0) {
      const sid = sids[served.sessions[0] % sids.length];
      const posted = new RawStream(node.port).write(
        requestText("POST", engineUrl({ sid }), { headers: { connection: "close" }, body: '42["x","post"]' }),
      );
      await Promise.race([posted.end, pause(5_000)]);
      note("sessions", posted.text.endsWith("ok"));
      posted.destroy();
    }
    if (served.trunks[0] + served.trunks[1] < 5) {
      const trunk = await startApp({
        app: "attacked",
        name: "late",
        trunkline: { endpoint: node.url, hub: "calm" },
        ready: false,
      });
      const up = await until("a trunk", () => trunk.isReady(), { withinMs: 5_000 }).catch(() => false);
      note("trunks", up);
      await trunk.stop();
    }
    await pause(200);
  }
  return served;
}

function grown(before, after) {
  const ordinary =
    /streams_accepted|_received|messages_|_sent|broadcast|process_|memory_|_sessions\{|trunkline_sessions |handshakes_total\{outcome="accepted"|uptime|trunks?$|_load|paths_refused|"app_server_gone"/;
  return [...after]
    .filter(([name, value]) => name.startsWith("trunkline_") && !ordinary.test(name) && value > (before.get(name) ?? 0))
    .map(
      ([name, value]) =>
        `${name.replace("trunkline_", "").replace("_total", "")} +${Math.round(value - (before.get(name) ?? 0))}`,
    );
}

async function attacked(name) {
  const attack = ATTACKS[name];
  const folder = mkdtempSync(join(tmpdir(), "trunkline-attacks-"));
  const config = join(folder, "trunkline.toml");
  writeFileSync(config, HUBS);
  const closing = [];
  try {
    const node = await startNode({
      threads: Number(values.threads),
      args: [
        "--config",
        config,
        "--address-limits-exempt",
        "127.0.0.1,::1",
        ...(attack.args?.(Number(values.clients)) ?? []),
      ],
    });
    closing.push(() => node.stop("SIGKILL"));
    const options = attack.options ?? {};
    const app = await startApp({ app: "attacked", name: "attacked", options, trunkline: { endpoint: node.url } });
    closing.push(() => app.stop());
    const calm = values["same-app"]
      ? app
      : await startApp({ app: "attacked", name: "calm", trunkline: { endpoint: node.url, hub: "calm" } });
    if (calm !== app) closing.push(() => calm.stop());
    const path = values["same-app"] ? "/socket.io/" : CALM_PATH;
    const crowd = new Worker("./attacks/crowd.mjs", node.port, path, values.clients, values.rate);
    closing.push(() => crowd.stop());
    await crowd.hears("ready", 120_000);
    const sids = [];
    for (let number = 0; number < 10 && !options.pingInterval; number += 1)
      sids.push((await PollingSession.open(node.port, { join: true })).sid);
    const attackers = new Worker("./attacks/kinds.mjs", name, node.port, seconds);
    closing.push(() => attackers.stop());

    const phase = async (what, wait) => {
      crowd.tell({ kind: "phase", phase: what });
      await wait();
    };
    await phase("before", () => pause(calmMs));
    writeFileSync(`/proc/${node.child.pid}/clear_refs`, "5");
    const rest = megabytes(node.child.pid, "VmRSS");
    const before = await node.metrics();
    const cpuBefore = cpuSeconds(node.child.pid);
    if (attack.unreadLog) for (const stream of [node.child.stdout, node.child.stderr]) stream.pause();
    const state = { over: false };
    let served;
    await phase("during", async () => {
      attackers.tell({ kind: "go" });
      const outsiders = others(node, app, sids, state);
      await attackers.hears("done", seconds * 1_000 + 60_000);
      state.over = true;
      served = await outsiders;
    });
    const after = await node.metrics();
    const peak = megabytes(node.child.pid, "VmHWM");
    const nodeCpuS = cpuSeconds(node.child.pid) - cpuBefore;
    await phase("after", () => pause(calmMs));
    const end = megabytes(node.child.pid, "VmRSS");
    crowd.tell({ kind: "report" });
    const report = await crowd.hears("report", 60_000);
    const { note, cpuS } = await attackers.hears("note", 5_000);
    const named = grown(before, after);
    const isNamed = !attack.named || named.some((counter) => attack.named.test(counter));
    return { name, ...report, rest, peak, end, served, named, isNamed, note, cpuS, nodeCpuS };
  } finally {
    for (const close of closing.reverse()) await close();
    rmSync(folder, { recursive: true, force: true });
  }
}

const ms = (value) => (value >= 100 ? value.toFixed(0) : value.toFixed(1));
const share = ([ok, failed]) => `${ok} of ${ok + failed}`;

console.log(
  `${values.clients} clients that echo ${values.rate} times a second, ${values.threads} threads, ${seconds} s for each attack\n`,
);
console.log(
  "| attack | lost | p99 before, ms | during | after | × | worst, ms | memory before → peak → after, MB | CPU of attackers, node, s | newcomers, sessions, trunks served | what the attackers got | named by |",
);
console.log("|---|---:|---:|---:|---:|---:|---:|---:|---:|---|---|---|");
let bad = false;
const results = [];
for (const name of chosen) {
  if (process.stdout.isTTY) process.stdout.write(`${name} …\r`);
  const result = await attacked(name);
  const { lost, p99, max, rest, peak, end, served, named, isNamed, note, cpuS, nodeCpuS } = result;
  const ratio = p99.during / p99.before;
  const slow = ratio > ALLOWED_RATIO && p99.during > NOISE_MS;
  bad ||= lost > 0 || slow || !isNamed;
  results.push({ ...result, ratio, slow });
  const outsiders = [served.newcomers, served.sessions, served.trunks].map(share).join(", ");
  console.log(
    `| ${name} | ${lost} | ${ms(p99.before)} | ${ms(p99.during)} | ${ms(p99.after)} | ${ratio.toFixed(1)}${slow ? " (!)" : ""} | ${ms(max.during)} | ` +
      `${rest.toFixed(0)} → ${peak.toFixed(0)} → ${end.toFixed(0)} | ${cpuS.toFixed(1)}, ${nodeCpuS.toFixed(1)} | ${outsiders} | ${note} | ` +
      `${named.join("; ")}${isNamed ? "" : " (!) no counter names it"} |`,
  );
}
if (values.json) writeFileSync(values.json, `${JSON.stringify(results, undefined, 2)}\n`);
process.exit(bad ? 1 : 0);
