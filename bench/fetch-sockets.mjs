// Measures fetchSockets() over all sockets of two app servers: plain Socket.IO with the Redis adapter and its own
// Redis, next to Trunkline. The two alternate (A B A B …) in one run; the figures go into the ledger. Needs
// `redis-server`.
import { createRequire } from "node:module";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { parseArgs } from "node:util";

import { holdClients } from "./lib/generator.mjs";
import { append, summarise } from "./lib/ledger.mjs";
import { commit, machine, quiet } from "./lib/machine.mjs";
import { PINS, cpuUs, stop } from "./lib/processes.mjs";
import { startApp, startRedis, startTrunkline } from "./lib/servers.mjs";

const target = new URL("../target/release/", import.meta.url).pathname;
const app = new URL("apps/fetch.mjs", import.meta.url).pathname;
const { values: options } = parseArgs({
  options: {
    clients: { type: "string", default: "10000" },
    repetitions: { type: "string", default: "3" },
    // Timed calls in each repetition, on each app server, after five untimed ones.
    calls: { type: "string", default: "5" },
    generator: { type: "string", default: join(target, "trunkline") },
    trunkline: { type: "string", default: join(target, "trunkline") },
    quiet: { type: "string", default: "60" },
    "no-ledger": { type: "boolean", default: false },
  },
});
const clients = Number(options.clients);
const repetitions = Number(options.repetitions);
const calls = Number(options.calls);
const WARMUP_CALLS = 5;
const CONNECTED_MS_MAX = 120_000;
const ROUTES = {
  [`fetchSockets, ${clients.toLocaleString("en-US")} sockets on 2 app servers`]: { route: "/all", sockets: clients },
  [`fetchSockets of a room, ${clients / 100} of ${clients.toLocaleString("en-US")} sockets`]: {
    route: "/room",
    sockets: clients / 100,
  },
};

/** The running parts, in the order in which they were started; they are ended in reverse order. */
const running = [];
const samples = {};
const problems = [];

const ROWS = {
  "npm socket.io + Redis adapter": async () => {
    const redis = keep(await startRedis());
    const apps = await twoApps({ REDIS_URL: redis.url });
    return { apps, middle: redis, urls: apps.map(({ url }) => url) };
  },
  trunkline: async () => {
    const node = keep(await startTrunkline(options.trunkline));
    const apps = await twoApps({ TRUNKLINE_ENDPOINT: node.url });
    return { apps, middle: node, urls: [node.url] };
  },
};

function keep(one) {
  running.push(one);
  return one;
}

async function stopAll() {
  while (running.length > 0) await running.pop().stop();
}

async function twoApps(environment) {
  const apps = [];
  while (apps.length < 2) apps.push(keep(await startApp(environment, app)));
  return apps;
}

async function ask({ url }, path) {
  const answer = await fetch(url + path);
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

async function connected(apps, generator) {
  const until = Date.now() + CONNECTED_MS_MAX;
  for (;;) {
    const counts = await Promise.all(apps.map(async (one) => (await ask(one, "/count")).sockets));
    if (counts.reduce((sum, count) => sum + count, 0) === clients) return counts;
    if (generator.exitCode !== null || Date.now() > until)
      throw new Error(`only ${counts.join(" and ")} sockets were connected`);
    await wait(100);
  }
}

async function measure(row, repetition) {
  const { apps, middle, urls } = await ROWS[row]();
  const generator = holdClients(options.generator, urls, clients);
  keep({ stop: () => stop(generator) });
  const counts = await connected(apps, generator);
  await quiet(Number(options.quiet));
  for (const [scenario, { route, sockets }] of Object.entries(ROUTES)) {
    const metrics = ((samples[scenario] ??= {})[row] ??= {
      "time ms": [],
      "CPU ms/call, app servers": [],
      "CPU ms/call, Redis or node": [],
    });
    for (const one of apps) {
      await ask(one, `${route}?times=${WARMUP_CALLS}`);
      const cpu = () => [apps.reduce((sum, { pid }) => sum + cpuUs(pid) / 1e3, 0), cpuUs(middle.pid) / 1e3];
      const before = cpu();
      const timed = await ask(one, `${route}?times=${calls}`);
      const used = cpu().map((after, index) => (after - before[index]) / calls);
      metrics["time ms"].push(...timed.map(({ ms }) => ms));
      metrics["CPU ms/call, app servers"].push(used[0]);
      metrics["CPU ms/call, Redis or node"].push(used[1]);
      checkCalls(timed, sockets, `${scenario}, ${row}, repetition ${repetition}`);
    }
    process.stderr.write(
      `    ${scenario}: ${metrics["time ms"]
        .slice(-2 * calls)
        .map((ms) => ms.toFixed(1))
        .join(" ")} ms\n`,
    );
  }
  return counts;
}

/** Checks that every call returned every socket, complete. A room's size depends on how clients were spread. */
function checkCalls(timed, sockets, where) {
  for (const call of timed) {
    const isRight = sockets === clients ? call.sockets === sockets : Math.abs(call.sockets - sockets) <= 1;
    if (!isRight || !call.whole)
      problems.push(`${where}: a call gave ${call.sockets} sockets instead of ${sockets}, whole: ${call.whole}`);
  }
}

async function main() {
  const measured = commit();
  const date = new Date().toISOString();
  for (let repetition = 1; repetition <= repetitions; repetition++) {
    for (const row of Object.keys(ROWS)) {
      process.stderr.write(`[${repetition}/${repetitions}] ${row}\n`);
      try {
        const counts = await measure(row, repetition);
        process.stderr.write(`    sockets on the app servers: ${counts.join(" and ")}\n`);
      } finally {
        await stopAll();
      }
    }
  }
  report(measured, date);
}

function report(measured, date) {
  const summaries = Object.entries(samples).map(([scenario, rows]) => {
    const byRow = Object.entries(rows).map(([row, metrics]) => {
      return [row, Object.fromEntries(Object.entries(metrics).map(([name, list]) => [name, summarise(list)]))];
    });
    return [scenario, Object.fromEntries(byRow)];
  });
  const run = {
    date,
    commit: measured,
    machine: machine(),
    socket_io: createRequire(import.meta.url)("socket.io/package.json").version,
    command: `node bench/fetch-sockets.mjs --clients ${clients} --repetitions ${repetitions} --calls ${calls}`,
    repetitions,
    pins: PINS ? `servers, Redis and node on core ${PINS.server}, generator on core ${PINS.generator}` : "none",
    scenarios: Object.fromEntries(summaries),
    problems,
  };
  if (options["no-ledger"]) console.log(JSON.stringify(run, null, 1));
  else console.log(`written: ${append(run)}`);
  if (problems.length > 0) process.exitCode = 1;
}

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, async () => {
    await stopAll();
    process.exit(130);
  });
}
await main();
