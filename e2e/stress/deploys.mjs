// App servers that are deployed, killed, restarted, or lose their streams, with clients that must not notice:
//
//   node stress/deploys.mjs kill      kill -9 of one of two app servers
//   node stress/deploys.mjs deploy    three app servers, one after another
//   node stress/deploys.mjs restart   the only app server, away for --away ms; --kill: by kill -9
//   node stress/deploys.mjs cut       the trunk's stream is cut for --away ms; the app server is behind a proxy
//   node stress/deploys.mjs turns     --seeds runs, each with a random sequence of all of these
//
// [--idle N] [--busy N] [--every MS between two messages of a busy client] [--news MS between two broadcasts of an app
// server] [--plain: npm socket.io, two processes behind HAProxy] [--threads N] [--first SEED] [--seeds N] [--steps N]
//
// Exit code 1 when something was lost, doubled or out of order.
import { parseArgs } from "node:util";
import { CuttingProxy } from "../../testing/cutting_proxy.mjs";
import { MODES, now, pause, Stage } from "./deploys_stage.mjs";
import { Random } from "./random.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    idle: { type: "string", default: "0" },
    busy: { type: "string", default: "200" },
    every: { type: "string", default: "200" },
    news: { type: "string", default: "50" },
    away: { type: "string", default: "2000" },
    kill: { type: "boolean", default: false },
    plain: { type: "boolean", default: false },
    threads: { type: "string", default: "2" },
    first: { type: "string", default: "1" },
    seeds: { type: "string", default: "5" },
    steps: { type: "string", default: "8" },
  },
});
const percentile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
const ms = (value) => (value === undefined ? "-" : `${value.toFixed(1)} ms`);

/** Prints the figures of a run, and returns whether nothing was violated. */
function report(name, stage, busy, since, { violations, counts, all, metrics, casts }) {
  const ends = stage.clients.flatMap((client, number) => client.ends.map((end) => ({ ...end, isBusy: number < busy })));
  // The last of them is our own.
  const dropped = ends.filter(({ at, reason }) => at >= since && reason !== "io client disconnect");
  const came = all.filter(({ op, at }) => op === "came" && at >= since);
  const homes = came.filter(({ rehomed }) => rehomed).map(({ at }) => at - since);
  homes.sort((a, b) => a - b);
  const back = stage.clients.flatMap(({ connects }) => connects.filter(({ at }) => at >= since));
  const pauses = stage.clients.map(({ longestPauseMs }) => longestPauseMs).sort((a, b) => a - b);
  const waits = stage.clients.flatMap(({ said }) => said.map(({ at, doneAt }) => (doneAt ?? Infinity) - at));
  const inDoubt = [...metrics]
    .filter(([key]) => key.includes("app_server_lost_in_doubt"))
    .reduce((sum, [, n]) => sum + n, 0);
  const lines = [
    ["clients: busy, idle", `${busy}, ${stage.clients.length - busy}`],
    [
      "dropped: busy, idle",
      `${dropped.filter(({ isBusy }) => isBusy).length}, ${dropped.filter(({ isBusy }) => !isBusy).length}`,
    ],
    ["closed in doubt", inDoubt],
    [
      "came back: recovered, as new",
      `${back.filter(({ recovered }) => recovered).length}, ${back.filter(({ recovered }) => !recovered).length}`,
    ],
    ["adopted", homes.length],
    [
      "time to a new home: p50, p99, max",
      `${ms(percentile(homes, 0.5))}, ${ms(percentile(homes, 0.99))}, ${ms(homes.at(-1))}`,
    ],
    ["messages: said, acknowledged, failed", `${counts.said}, ${counts.acked}, ${counts.failed}`],
    ["no answer and no error", counts.lost],
    ["doubled", counts.doubled],
    ["broadcasts: sent, heard, missing", `${casts}, ${counts.news}, ${counts.gaps}`],
    ["longest pause between broadcasts: p50, max", `${ms(percentile(pauses, 0.5))}, ${ms(pauses.at(-1))}`],
    ["longest wait for an answer", ms(waits.reduce((most, wait) => Math.max(most, wait), 0))],
    ["violations", violations.length],
  ];
  console.log(`\n${name}`);
  for (const [what, value] of lines) console.log(`  ${what.padEnd(44)} ${value}`);
  for (const violation of violations.slice(0, 10)) console.log(`    ${violation}`);
  return violations.length === 0;
}

const setting = {
  threads: Number(options.threads),
  everyMs: Number(options.every),
  newsMs: Number(options.news),
  plain: options.plain,
};
const busy = Number(options.busy);
const idle = Number(options.idle);
const away = Number(options.away);

const SCENARIOS = {
  async kill() {
    const stage = await Stage.open(setting);
    await stage.start();
    await stage.start();
    await stage.connect(busy, idle);
    await pause(3_000);
    const since = now();
    await stage.kill(stage.apps[0]);
    await pause(8_000);
    return report("kill -9 of one of two app servers", stage, busy, since, await stage.close());
  },

  async deploy() {
    const stage = await Stage.open(setting);
    for (let count = 0; count < 3; count += 1) await stage.start();
    await stage.connect(busy, idle, MODES);
    await pause(2_000);
    const since = now();
    for (const old of [...stage.apps]) {
      await stage.start();
      await stage.leave(old);
      await pause(500);
    }
    return report("three app servers, deployed one after another", stage, busy, since, await stage.close());
  },

  async restart() {
    const stage = await Stage.open(setting);
    await stage.start();
    await stage.connect(busy, idle, MODES);
    await pause(2_000);
    const since = now();
    await (options.kill ? stage.kill(stage.apps[0]) : stage.leave(stage.apps[0]));
    await pause(away);
    await stage.start();
    await pause(3_000);
    return report(`the only app server, away for ${away} ms`, stage, busy, since, await stage.close());
  },

  async cut() {
    const stage = await Stage.open(setting);
    const proxy = (stage.proxy = await CuttingProxy.start(new URL(stage.url).port));
    await stage.start(proxy.url);
    await stage.start();
    await stage.connect(busy, idle, MODES);
    await pause(2_000);
    const since = now();
    proxy.goAway();
    await pause(away);
    proxy.comeBack();
    await pause(5_000);
    const done = report(`a trunk's stream cut for ${away} ms`, stage, busy, since, await stage.close({ homes: false }));
    return done;
  },

  async turns() {
    let good = true;
    for (let seed = Number(options.first); seed < Number(options.first) + Number(options.seeds); seed += 1) {
      good = (await turns(seed)) && good;
    }
    return good;
  },
};

/** A random sequence of deploys, crashes, cuts and restarts. */
async function turns(seed) {
  const random = new Random(seed);
  const stage = await Stage.open(setting);
  const proxy = (stage.proxy = await CuttingProxy.start(new URL(stage.url).port));
  const start = () => stage.start(random.chance(0.5) ? proxy.url : undefined);
  await start();
  await start();
  await stage.connect(busy, idle, MODES);
  const since = now();
  const steps = [];
  const choices = [
    [3, "deploy", async () => (await start(), stage.leave(random.pick(stage.apps)))],
    [3, "crash", async () => (await stage.kill(random.pick(stage.apps)), await pause(random.below(1_500)), start())],
    [2, "cut", async () => (proxy.goAway(), await pause(random.below(1_200)), proxy.comeBack())],
    [1, "long cut", async () => (proxy.goAway(), await pause(4_000), proxy.comeBack())],
    [
      1,
      "restart of all",
      async () => {
        for (const app of [...stage.apps]) await (random.chance(0.5) ? stage.kill(app) : stage.leave(app));
        await pause(random.below(2_000));
        await start();
        await start();
      },
    ],
  ];
  for (let step = 0; step < Number(options.steps); step += 1) {
    const [, name, act] = random.weighted(choices.map((choice) => [choice[0], choice]));
    steps.push(name);
    await act();
    await pause(random.below(1_000));
  }
  await pause(3_000);
  const done = report(`seed ${seed}: ${steps.join(", ")}`, stage, busy, since, await stage.close({ homes: false }));
  return done;
}

const scenario = SCENARIOS[positionals[0]];
if (scenario === undefined) {
  console.error(`name one of: ${Object.keys(SCENARIOS).join(", ")}`);
  process.exit(2);
}
process.exit((await scenario()) ? 0 : 1);
