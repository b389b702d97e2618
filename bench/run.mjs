// Runs every scenario on every row, side by side: A B A B … for several repetitions; results go into the ledger.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { append, summarise } from "./lib/ledger.mjs";
import { commit, machine, quiet } from "./lib/machine.mjs";
import { SCENARIOS } from "./lib/scenarios.mjs";
import { PINS, ROWS, pinned } from "./lib/servers.mjs";

const target = new URL("../target/release/", import.meta.url).pathname;
const { values: options, tokens } = parseArgs({
  tokens: true,
  options: {
    repetitions: { type: "string", default: "3" },
    rows: { type: "string", default: Object.keys(ROWS).join(";") },
    only: { type: "string", default: "" },
    generator: { type: "string", default: join(target, "trunkline") },
    trunkline: { type: "string", default: join(target, "trunkline") },
    // Longest wait for a machine that does nothing else, before each measurement, in seconds.
    quiet: { type: "string", default: "60" },
    "no-ledger": { type: "boolean", default: false },
  },
});
const repetitions = Number(options.repetitions);
const rows = options.rows.split(";").map(rowNamed);
const scenarios = Object.entries(SCENARIOS).filter(([name]) => name.includes(options.only));
const problems = [];
const samples = {};
let stopping;

function rowNamed(text) {
  const name = Object.keys(ROWS).find((row) => row.startsWith(text));
  if (!name) throw new Error(`no row ${text}; there are: ${Object.keys(ROWS).join("; ")}`);
  return name;
}

/** Runs the generator; its report. A run with problems is counted, not hidden. */
async function generate(system, args, folder) {
  const json = join(folder, "report.json");
  rmSync(json, { force: true });
  const urls = system.urls.flatMap((url) => ["--url", url]);
  const processes = system.processes.flatMap((one) => ["--process", one]);
  const command = [options.generator, "bench", ...args.map(String), ...urls, ...processes, "--json", json];
  const [program, ...rest] = pinned("generator", command);
  const child = spawn(program, rest, { stdio: ["ignore", "ignore", "inherit"] });
  const code = await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", resolve);
  });
  if (!existsSync(json)) throw new Error(`the generator ended with ${code} and no report`);
  return JSON.parse(readFileSync(json, "utf8"));
}

async function measure(row, scenario, folder) {
  const system = await ROWS[row](scenario.appServers, options);
  stopping = system.stop;
  try {
    if (scenario.warmup) await generate(system, scenario.warmup, folder);
    const kill = scenario.kills ? ["--kill", system.appPids[0]] : [];
    return await generate(system, [...scenario.args, ...kill], folder);
  } finally {
    await system.stop();
    stopping = undefined;
  }
}

function note(name, row, repetition, report) {
  const metrics = SCENARIOS[name].metrics(report);
  const bucket = ((samples[name] ??= {})[row] ??= {});
  for (const [metric, value] of Object.entries(metrics)) {
    if (value !== undefined) (bucket[metric] ??= []).push(value);
  }
  for (const text of [...report.problems, ...report.notes]) {
    problems.push(`${name}, ${row}, repetition ${repetition}: ${text}`);
    process.stderr.write(`    ${text}\n`);
  }
  const [metric, value] = Object.entries(metrics)[0];
  process.stderr.write(`    ${metric} ${value.toPrecision(4)}\n`);
}

async function main() {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-bench-"));
  // Before, not after, a long run: the tree may move on meanwhile.
  const measured = commit();
  const date = new Date().toISOString();
  try {
    for (let repetition = 1; repetition <= repetitions; repetition++) {
      for (const [name, scenario] of scenarios) {
        for (const row of rows) {
          await quiet(Number(options.quiet));
          process.stderr.write(`[${repetition}/${repetitions}] ${name}: ${row}\n`);
          note(name, row, repetition, await measure(row, scenario, folder));
        }
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  const results = Object.fromEntries(
    Object.entries(samples).map(([name, byRow]) => [name, mapValues(byRow, (metrics) => mapValues(metrics, summarise))]),
  );
  const run = {
    date,
    commit: measured,
    machine: machine(),
    socket_io: createRequire(import.meta.url)("socket.io/package.json").version,
    command: command(),
    repetitions,
    pins: PINS ? `servers on core ${PINS.server}, generator on core ${PINS.generator}` : "none",
    scenarios: results,
    problems,
  };
  if (options["no-ledger"]) console.log(JSON.stringify(run, null, 1));
  else console.log(`written: ${append(run)}`);
}

/** What was typed, without where the programs lay on this machine. */
function command() {
  const { generator: _, trunkline: __, ...kept } = options;
  const typed = tokens.filter((token) => token.kind === "option" && token.name in kept);
  const words = typed.map(({ rawName, value }) => (value === undefined ? rawName : `${rawName} '${value}'`));
  return ["node bench/run.mjs", ...words].join(" ");
}

function mapValues(object, change) {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]));
}

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, async () => {
    await stopping?.();
    process.exit(130);
  });
}
await main();
