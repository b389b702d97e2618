// Counts the instructions of the hot pure functions with callgrind: the same on every run of the same binary, whatever
// else the machine does. Prints each count next to the newest entry of the ledger, and writes an entry. Needs
// `valgrind`.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { append, exactly, newestWith } from "./lib/ledger.mjs";
import { commit, machine } from "./lib/machine.mjs";

const SCENARIO = "instructions of hot pure functions";
const ROW = "trunkline";
const TIMES = [200, 1_200];
const NOTABLE = 0.005;
const target = new URL("../target/release/", import.meta.url).pathname;
const { values: options } = parseArgs({
  options: {
    program: { type: "string", default: join(target, "instructions") },
    only: { type: "string", default: "" },
    "no-ledger": { type: "boolean", default: false },
  },
});

/** The program's cases: what is counted, and how many operations one repetition does. */
function cases() {
  const lines = run([options.program, "list"]).stdout.trim().split("\n");
  const parsed = lines.map((line) => /^(\d+) (.*)$/.exec(line)).map(([, each, name]) => ({ name, each: Number(each) }));
  return parsed.filter(({ name }) => name.includes(options.only));
}

/** Both counts contain the preparation of the case; their difference does not. */
function instructionsOf({ name, each }) {
  const [few, many] = TIMES.map((times) => counted(name, times));
  return (many - few) / (TIMES[1] - TIMES[0]) / each;
}

function counted(name, times) {
  const command = [
    "valgrind",
    "--tool=callgrind",
    "--callgrind-out-file=/dev/null",
    options.program,
    name,
    String(times),
  ];
  const { stderr } = run(command);
  const total = /Collected : (\d+)/.exec(stderr);
  if (!total) throw new Error(`callgrind said no total: ${stderr}`);
  return Number(total[1]);
}

/** Runs with an empty environment: its size would move the stack, and change the count by a few instructions. */
function run([program, ...args]) {
  const script = 'exec "$0" "$@" 2>&1 1>/dev/null';
  if (program !== "valgrind") return { stdout: execFileSync(program, args, { encoding: "utf8" }) };
  return {
    stderr: execFileSync("sh", ["-c", script, program, ...args], { encoding: "utf8", env: { PATH: process.env.PATH } }),
  };
}

/** One line: the count, the previous count, and the difference. */
function line(name, count, before) {
  const change = before === undefined ? "new" : difference(count / before - 1);
  return `| ${name} | ${show(before)} | ${show(count)} | ${change} |`;
}

const show = (count) => (count === undefined ? "" : count.toLocaleString("en-US", { maximumFractionDigits: 1 }));

function difference(ratio) {
  const percent = `${ratio >= 0 ? "+" : ""}${(ratio * 100).toFixed(1)} %`;
  return Math.abs(ratio) < NOTABLE ? percent : `**${percent}**`;
}

const before = newestWith(SCENARIO);
const found = cases().map((one) => [one.name, instructionsOf(one)]);
const old = before?.scenarios[SCENARIO][ROW] ?? {};
console.log(
  `| instructions for each | ${before ? `commit ${before.commit.id}` : "no entry before"} | now | difference |`,
);
console.log("|---|---:|---:|---:|");
for (const [name, count] of found) console.log(line(name, count, old[name]?.median));
if (!options["no-ledger"]) {
  const run = {
    date: new Date().toISOString(),
    commit: commit(),
    machine: machine(),
    command: "node bench/instructions.mjs",
    repetitions: 1,
    scenarios: { [SCENARIO]: { [ROW]: Object.fromEntries(found.map(([name, count]) => [name, exactly(count)])) } },
    problems: [],
  };
  console.log(`written: ${append(run)}`);
}
