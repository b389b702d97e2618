// node run.mjs [--target npm|trunkline|both] [--only PATTERN] [--lanes N] [--again] [--show] [--app-servers 1|2]
// [--threads N] [--nodes N] [--recorded]
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { nats } from "../testing/daemon.mjs";
import { TRUNKLINE_BIN } from "./lib/node.mjs";
import { findScripts } from "./lib/scripts.mjs";
import { Lane } from "./lib/targets.mjs";
import { Tools } from "./lib/tools.mjs";
import { Transcript, compare } from "./lib/transcript.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const SCRIPT_MS = 60_000;

const { values: flags } = parseArgs({
  options: {
    target: { type: "string", default: "both" },
    only: { type: "string" },
    lanes: { type: "string", default: "4" },
    again: { type: "boolean", default: false },
    show: { type: "boolean", default: false },
    "app-servers": { type: "string", default: "1" },
    threads: { type: "string", default: "1" },
    nodes: { type: "string", default: "1" },
    recorded: { type: "boolean", default: false },
  },
});

const targets = { npm: ["npm"], trunkline: ["trunkline"], both: ["npm", "trunkline"] }[flags.target];
if (!targets) throw new Error(`--target is npm, trunkline or both, not "${flags.target}"`);
if (targets.includes("trunkline") && !existsSync(TRUNKLINE_BIN)) {
  throw new Error(`${TRUNKLINE_BIN} is missing: build it with "cargo build --release", or set TRUNKLINE_BIN`);
}
const setup = {
  appServers: Number(flags["app-servers"]),
  threads: Number(flags.threads),
  nodes: Number(flags.nodes),
};
if (![1, 2].includes(setup.appServers)) throw new Error(`--app-servers is 1 or 2, not "${flags["app-servers"]}"`);
if (!(setup.threads >= 1)) throw new Error(`--threads is a number from 1, not "${flags.threads}"`);
if (!(setup.nodes >= 1)) throw new Error(`--nodes is a number from 1, not "${flags.nodes}"`);
const broker = setup.nodes > 1 && targets.includes("trunkline") ? await nats() : undefined;
setup.broker = broker && `nats://127.0.0.1:${broker.port}`;
/** Transcripts of npm's last whole run, in place of a new run. */
const recorded = flags.recorded ? new Map(readResults("npm").map((one) => [one.script, one])) : undefined;
const differences = JSON.parse(readFileSync(path.join(here, "differences.json"), "utf8"));

function readResults(name) {
  const file = path.join(here, `results/${name}.json`);
  if (!existsSync(file)) throw new Error(`${file} is missing: a whole run without --recorded writes it`);
  return JSON.parse(readFileSync(file, "utf8"));
}

/** Runs one script against one target; resolves with its transcript. An error of the script is its last line. */
async function record(lane, script) {
  const known = lane.target === "npm" && recorded?.get(script.name);
  if (known) return { lines: known.transcript, ms: 0 };
  const startedAt = performance.now();
  const transcript = new Transcript();
  let server;
  let error;
  try {
    server = await lane.start(script);
    const t = new Tools(server, transcript);
    await Promise.race([script.run(t), overdue()]).catch((thrown) => (error = thrown));
    await t.finish();
  } catch (thrown) {
    error ??= thrown;
  }
  await server?.stop();
  const lines = transcript.lines(server?.ports ?? []);
  if (error) lines.push(`script failed: ${error.message}`);
  return { lines, error: error?.stack, ms: Math.round(performance.now() - startedAt) };
}

function overdue() {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`the script took more than ${SCRIPT_MS} ms`)), SCRIPT_MS).unref();
  });
}

/** What is known of this script in this setup: what holds for several nodes only goes first. */
function differenceOf(script) {
  const known = differences.filter((one) => one.script === script.name);
  return known.find(({ nodes }) => nodes && setup.nodes > 1) ?? known.find(({ nodes }) => !nodes);
}

/** The result of one script: `{ verdict, detail }`. */
function judge(script, runs) {
  const [first, second] = runs;
  const detail = [];
  const listed = differenceOf(script);
  for (const run of runs)
    if (run.error && !(listed && run.target === "trunkline")) detail.push(`${run.target}: ${run.error}`);
  if (detail.length > 0 && !second) return { verdict: "failed", detail };
  if (runs[0].error) return { verdict: "failed", detail };
  if (!second) return { verdict: "passed", detail };

  const only = compare(first.lines, second.lines);
  const same = only.npm.length === 0 && only.trunkline.length === 0;
  const shown = [
    ...only.npm.map((line) => `${first.label} only:  ${line}`),
    ...only.trunkline.map((line) => `${second.label} only:  ${line}`),
  ];
  if (!listed || flags.again)
    return { verdict: same && detail.length === 0 ? "passed" : "failed", detail: [...detail, ...shown] };
  if (listed.differs === "varies") return { verdict: same ? "passed" : "differs", detail: [listed.reason] };
  if (same) return { verdict: "failed", detail: ["differences.json lists a difference that no longer occurs"] };
  if (JSON.stringify(listed.differs) !== JSON.stringify(only)) {
    return { verdict: "failed", detail: ["differs otherwise than differences.json says:", ...shown] };
  }
  return { verdict: "differs", detail: [listed.reason] };
}

async function runScript(lanes, script) {
  const plan = flags.again ? [targets[0], targets[0]] : targets;
  const runs = [];
  for (const [index, target] of plan.entries()) {
    const label = flags.again ? `run ${index + 1}` : target;
    runs.push({ target, label, ...(await record(lanes[target], script)) });
  }
  const result = { script: script.name, ...judge(script, runs), ms: runs.map((run) => run.ms), runs };
  print(result);
  return result;
}

const MARK = { passed: "ok  ", differs: "diff", failed: "FAIL" };

function print({ script, verdict, detail, ms, runs }) {
  console.log(`${MARK[verdict]}  ${script.padEnd(64)} ${ms.map((one) => `${one} ms`).join(" / ")}`);
  for (const text of detail) console.log(text.replace(/^/gm, "        "));
  if (flags.show)
    for (const run of runs) for (const text of run.lines) console.log(`    ${run.label.padEnd(10)} ${text}`);
}

/** `npm`, or `trunkline-apps1-threads1` and so on. A run of some scripts does not touch the results of whole runs. */
function resultName(target) {
  const own = `${target}-apps${setup.appServers}-threads${setup.threads}`;
  const name = target === "npm" ? target : setup.nodes === 1 ? own : `${own}-nodes${setup.nodes}`;
  return flags.only || flags.again || targets.length === 1 ? `part-${name}` : name;
}

function write(results) {
  mkdirSync(path.join(here, "results"), { recursive: true });
  for (const target of targets) {
    if (target === "npm" && recorded) continue;
    const told = results.map(({ script, verdict, detail, runs }) => {
      const run = runs.find((one) => one.target === target);
      return { script, verdict, detail, ms: run.ms, transcript: run.lines };
    });
    writeFileSync(path.join(here, `results/${resultName(target)}.json`), JSON.stringify(told, null, 2) + "\n");
  }
}

const scripts = await findScripts(flags.only);
const queue = [...scripts];
const results = [];
await Promise.all(
  Array.from({ length: Number(flags.lanes) }, async () => {
    const lanes = Object.fromEntries(targets.map((target) => [target, new Lane(target, setup)]));
    for (let script = queue.shift(); script; script = queue.shift()) results.push(await runScript(lanes, script));
    for (const lane of Object.values(lanes)) await lane.end();
  }),
);
await broker?.stop();
results.sort((a, b) => (a.script < b.script ? -1 : 1));
write(results);

const unknown = differences.filter((one) => !flags.only && !scripts.some((script) => script.name === one.script));
for (const one of unknown) console.log(`FAIL  differences.json names a script that does not exist: ${one.script}`);
const failed = results.filter((one) => one.verdict === "failed").length + unknown.length;
const differing = results.filter((one) => one.verdict === "differs").length;
if (failed > 0)
  console.log(
    `\nfailed: ${results
      .filter((one) => one.verdict === "failed")
      .map((one) => one.script)
      .join(", ")}`,
  );
if (differing > 0) console.log(`\n${differing} of the passed differ as differences.json says`);
console.log(`${results.length - (failed - unknown.length)} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
