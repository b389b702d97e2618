// Runs every scenario on every row, alternating (A B C A B C …) for several repetitions; the results go into the
// ledger.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { append, summarise } from "./lib/ledger.mjs";
import { commit, machine } from "./lib/machine.mjs";
import { PINS } from "./lib/processes.mjs";
import { ROWS, addVariant, rowsNamed } from "./lib/rows.mjs";
import { openSamples, work } from "./lib/samples.mjs";
import { SCENARIOS } from "./lib/scenarios.mjs";

const UNFINISHED = 75;
const target = new URL("../target/release/", import.meta.url).pathname;
const { values: options, tokens } = parseArgs({
  tokens: true,
  options: {
    repetitions: { type: "string", default: "3" },
    rows: { type: "string" },
    // Only scenarios whose names contain one of the texts (separated by semicolons).
    only: { type: "string", default: "" },
    generator: { type: "string", default: join(target, "trunkline") },
    trunkline: { type: "string", default: join(target, "trunkline") },
    // More arguments for every node, split at spaces.
    "node-args": { type: "string", default: "" },
    // NAME=ARGUMENTS: one more row, a node with these arguments. May be repeated.
    variant: { type: "string", multiple: true, default: [] },
    // Longest wait for an idle machine before each measurement, in seconds.
    quiet: { type: "string", default: "60" },
    // Keeps every measurement in this file, and continues from what it contains already.
    samples: { type: "string" },
    // Starts no measurement after this many seconds; with --samples the same command continues later.
    for: { type: "string", default: "Infinity" },
    "no-ledger": { type: "boolean", default: false },
  },
});
options.nodeArgs = options["node-args"].split(" ").filter(Boolean);
options.variant.forEach(addVariant);
const ordinary = Object.keys(ROWS).filter((name) => !ROWS[name].byName);
const chosen = options.rows ?? ordinary.join(";");
let stopping;

/** All measurements in order: rows alternate within a scenario. */
function plan(notes) {
  const rows = rowsNamed(chosen).filter((name) => isThere(name, notes));
  const scenarios = Object.entries(SCENARIOS).filter(([name]) =>
    options.only.split(";").some((text) => name.includes(text)),
  );
  if (scenarios.length === 0)
    throw new Error(`no scenario ${options.only}; there are: ${Object.keys(SCENARIOS).join("; ")}`);
  const repetitions = Array.from({ length: Number(options.repetitions) }, (_, index) => index + 1);
  return repetitions.flatMap((repetition) =>
    scenarios.flatMap(([scenario, { kills }]) =>
      rows.filter((row) => !kills || ROWS[row].kills).map((row) => ({ repetition, scenario, row })),
    ),
  );
}

/** Whether a row can run here. If not, prints what to install, and notes it in the ledger. */
function isThere(name, notes) {
  const install = ROWS[name].missing(options);
  if (!install) return true;
  notes.push(`row left out: ${name}; it needs \`${install}\``);
  process.stderr.write(`${notes.at(-1)}\n`);
  return false;
}

async function measure({ row: name, scenario: scenarioName }) {
  const [row, scenario] = [ROWS[name], SCENARIOS[scenarioName]];
  const system = await row.start(scenario.appServers, options);
  stopping = system.stop;
  const notes = [];
  try {
    return { metrics: await scenario.run({ row, system, options, notes }), notes };
  } finally {
    await system.stop();
    stopping = undefined;
  }
}

/** A measurement's notes, and its main figure. */
function figures({ metrics, notes }) {
  const [metric, value] = Object.entries(metrics)[0];
  return [...notes, `${metric} ${value.toPrecision(4)}`];
}

/** Samples by scenario and row, summarised, in the order of the plan. */
function results(todo, samples) {
  const scenarios = {};
  for (const { scenario, row } of todo) {
    const all = samples.of(scenario, row);
    const names = [...new Set(all.flatMap(({ metrics }) => Object.keys(metrics)))];
    const values = (metric) =>
      all.map(({ metrics }) => metrics[metric]).filter((value) => value !== undefined && value !== null);
    const figures = names.map((name) => [name, values(name)]).filter(([, list]) => list.length > 0);
    (scenarios[scenario] ??= {})[row] = Object.fromEntries(figures.map(([name, list]) => [name, summarise(list)]));
  }
  return scenarios;
}

async function main() {
  const notes = [];
  const todo = plan(notes);
  // The commit before a long run, not after it: the tree may change meanwhile.
  const samples = openSamples(options.samples, { date: new Date().toISOString(), commit: commit() });
  if (
    !(await work(todo, samples, {
      measure,
      told: figures,
      seconds: Number(options.for),
      quietSeconds: Number(options.quiet),
    }))
  ) {
    const left = todo.filter((one) => !samples.has(one)).length;
    process.stderr.write(`${left} of ${todo.length} measurements are left; the same command goes on\n`);
    process.exitCode = UNFINISHED;
    return;
  }
  const told = todo.flatMap((one) =>
    samples.notes(one).map((text) => `${one.scenario}, ${one.row}, repetition ${one.repetition}: ${text}`),
  );
  const run = {
    ...samples.head,
    machine: machine(),
    socket_io: createRequire(import.meta.url)("socket.io/package.json").version,
    peers: peers(),
    command: command(),
    repetitions: Number(options.repetitions),
    pins: PINS ? `servers on core ${PINS.server}, generator on core ${PINS.generator}` : "none",
    scenarios: results(todo, samples),
    problems: [...notes, ...told],
  };
  if (options["no-ledger"]) console.log(JSON.stringify(run, null, 1));
  else console.log(`written: ${append(run)}`);
}

/** Versions that the peers' lock file names. */
function peers() {
  const lock = readFileSync(new URL("peers/Cargo.lock", import.meta.url), "utf8");
  const version = (name) => new RegExp(`name = "${name}"\nversion = "([^"]+)"`).exec(lock)?.[1];
  return { socketioxide: version("socketioxide") };
}

/** The command as it was typed, without local paths, and without the options that divide a run into pieces. */
function command() {
  const left = ["generator", "trunkline", "samples", "for"];
  const typed = tokens.filter((token) => token.kind === "option" && !left.includes(token.name));
  const words = typed.map(({ rawName, value }) => (value === undefined ? rawName : `${rawName} '${value}'`));
  return ["node bench/run.mjs", ...words].join(" ");
}

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, async () => {
    await stopping?.();
    process.exit(130);
  });
}
await main();
