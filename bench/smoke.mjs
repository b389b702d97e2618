// Runs every installed row for a moment: does the generator still get from each what the ledger measures? No figures.
import { join } from "node:path";
import { parseArgs } from "node:util";

import { generate } from "./lib/generator.mjs";
import { ROWS, rowsNamed } from "./lib/rows.mjs";

const CLIENTS = 20;
const target = new URL("../target/release/", import.meta.url).pathname;
const { values: options } = parseArgs({
  options: {
    rows: { type: "string", default: Object.keys(ROWS).join(";") },
    generator: { type: "string", default: join(target, "trunkline") },
    trunkline: { type: "string", default: join(target, "trunkline") },
  },
});
options.nodeArgs = [];

const short = ["--clients", CLIENTS, "--warmup", 0, "--duration", 0.5, "--quiet"];
/** For each run: what must have happened, and how often at least. */
const RUNS = {
  idle: { args: ["idle", ...short, "--call", "gc"], counter: "pings_answered", least: 0 },
  polling: { args: ["idle", ...short, "--transport", "polling"], counter: "pings_answered", least: 0 },
  echo: { args: ["echo", ...short, "--window", 4], counter: "round_trips", least: CLIENTS },
  broadcast: { args: ["fanout", ...short], counter: "deliveries", least: CLIENTS },
  bursts: { args: ["fanout", ...short, "--window", 16], counter: "deliveries", least: 16 * CLIENTS },
};

/** The fault of a run; undefined when it went well. */
async function fault(system, { args, counter, least }) {
  const report = await generate(options.generator, system, args);
  if (report.problems.length > 0) return report.problems.join("; ");
  const count = report.counters[counter] ?? 0;
  return count >= least ? undefined : `${counter}: ${count}, not ${least}`;
}

/** Runs everything on a row; returns the name and fault of each. */
async function tried(row) {
  const system = await row.start(1, options);
  try {
    const faults = [];
    for (const [name, run] of Object.entries(RUNS)) faults.push([name, await fault(system, run)]);
    return faults;
  } finally {
    await system.stop();
  }
}

const counts = { passed: 0, failed: 0 };
for (const name of rowsNamed(options.rows)) {
  const install = ROWS[name].missing(options);
  if (install) {
    console.log(`left out: ${name}; it needs \`${install}\``);
    continue;
  }
  for (const [what, wrong] of await tried(ROWS[name])) {
    counts[wrong ? "failed" : "passed"] += 1;
    console.log(`${wrong ? "FAILED" : "ok"} ${name}: ${what}${wrong ? `: ${wrong}` : ""}`);
  }
}
console.log(`${counts.passed} passed, ${counts.failed} failed`);
if (counts.failed > 0 || counts.passed === 0) process.exitCode = 1;
