// The ledger: one JSON file per run, and the table that is made from all of them.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const folder = new URL("../ledger/", import.meta.url).pathname;

/** Median, lowest and highest beside the samples, which stay in the order of the repetitions. */
export function summarise(samples) {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  const [low, high] = [sorted[0], sorted.at(-1)].map(round);
  return { median: round(median), min: low, max: high, samples: samples.map(round) };
}

/** Four digits: more would be noise. */
function round(value) {
  return value === 0 ? 0 : Number(value.toPrecision(4));
}

/** Writes a run and makes the table anew. */
export function append(run) {
  mkdirSync(folder, { recursive: true });
  const name = `${run.date.replaceAll(":", "").slice(0, 15)}-${run.commit.id}.json`;
  // One metric per line: small, and readable in a diff.
  const text = JSON.stringify(run, null, 1).replace(
    /\{\s+"median": (\S+),\s+"min": (\S+),\s+"max": (\S+),\s+"samples": \[([^\]]*)\]\s+\}/g,
    (_all, median, min, max, samples) =>
      `{ "median": ${median}, "min": ${min}, "max": ${max}, "samples": [${samples.replace(/\s+/g, " ").trim()}] }`,
  );
  writeFileSync(join(folder, name), `${text}\n`);
  writeTable();
  return join(folder, name);
}

/** `README.md` of the ledger: the newest run of each script in full, then the main figures of every run. */
export function writeTable() {
  const names = readdirSync(folder).filter((name) => name.endsWith(".json")).sort().reverse();
  const runs = names.map((name) => ({ name, ...JSON.parse(readFileSync(join(folder, name), "utf8")) }));
  if (runs.length === 0) return;
  const text = [
    "# Ledger",
    "",
    "Made by `node bench/run.mjs` and `node bench/fetch-sockets.mjs`; do not edit. Medians, in brackets the lowest and highest of all repetitions.",
    "Ratios within one run are what counts; absolute figures belong to the machine and its mood that day.",
    "",
    ...newestOfEach(runs).flatMap(newest),
    "## All runs",
    "",
    ...history(runs),
    "",
  ].join("\n");
  writeFileSync(join(folder, "README.md"), text);
}

/** The newest first; a script is the first two words of a command. */
function newestOfEach(runs) {
  const byScript = new Map();
  for (const run of runs) {
    const script = run.command.split(" ", 2).join(" ");
    if (!byScript.has(script)) byScript.set(script, run);
  }
  return [...byScript.values()];
}

function newest(run) {
  const { cpu, cores, memory_gib, kernel, node_js } = run.machine;
  const state = run.commit.changed ? " with uncommitted changes" : "";
  const lines = [
    `## ${run.date.slice(0, 16).replace("T", " ")} UTC, commit ${run.commit.id}${state}`,
    "",
    `${cpu}, ${cores} cores, ${memory_gib} GiB, Linux ${kernel}, Node.js ${node_js}, socket.io ${run.socket_io}; ` +
      `${run.repetitions} repetitions, alternating; pins: ${run.pins}. Command: \`${run.command}\``,
    "",
  ];
  for (const [scenario, rows] of Object.entries(run.scenarios)) {
    const names = Object.keys(rows);
    const metrics = [...new Set(names.flatMap((name) => Object.keys(rows[name])))];
    lines.push(`### ${scenario}`, "");
    lines.push(`| | ${names.join(" | ")} |${names.length === 2 ? " ratio |" : ""}`);
    lines.push(`|---|${names.map(() => "---:|").join("")}${names.length === 2 ? "---:|" : ""}`);
    for (const metric of metrics) {
      const cells = names.map((name) => cell(rows[name][metric]));
      lines.push(`| ${metric} | ${cells.join(" | ")} |${names.length === 2 ? ratio(rows, names, metric) : ""}`);
    }
    lines.push("");
  }
  for (const problem of run.problems ?? []) lines.push(`- ${problem}`);
  if (run.problems?.length) lines.push("");
  return lines;
}

function cell(metric) {
  if (metric === undefined) return "";
  return `${number(metric.median)} (${number(metric.min)}–${number(metric.max)})`;
}

function number(value) {
  return Math.abs(value) >= 1_000 ? Math.round(value).toLocaleString("en-US") : String(value);
}

/** Second row over first. */
function ratio(rows, [first, second], metric) {
  const [a, b] = [rows[first][metric]?.median, rows[second][metric]?.median];
  return a && b !== undefined ? ` ${(b / a).toPrecision(2)} |` : " |";
}

const HEADLINES = [
  ["echo, rt/s", "echo, 1,000 clients, window 1", "round trips/s"],
  ["echo, app server CPU us", "echo, 1,000 clients, window 1", "CPU us/round trip, app server"],
  ["echo W16, rt/s", "echo, 100 clients, window 16", "round trips/s"],
  ["broadcast, deliveries/s", "broadcast to 5,000, one by one", "deliveries/s"],
  ["bursts of 16, deliveries/s", "broadcast to 5,000, bursts of 16", "deliveries/s"],
  ["idle, app server B/session", "idle, 10,000 sessions", "app server RSS bytes/session"],
  ["idle, node B/session", "idle, 10,000 sessions", "node RSS bytes/session"],
  ["fetchSockets ms", "fetchSockets, 10,000 sockets on 2 app servers", "time ms"],
  ["kill, all back ms", "kill -9 of one of two app servers, 1,000 clients", "all back ms"],
];

function history(runs) {
  const heads = HEADLINES.map(([head]) => head);
  const lines = [`| run | row | ${heads.join(" | ")} |`, `|---|---|${heads.map(() => "---:|").join("")}`];
  for (const run of runs) {
    const rows = [...new Set(Object.values(run.scenarios).flatMap((one) => Object.keys(one)))];
    for (const row of rows) {
      const cells = HEADLINES.map(([, scenario, metric]) => {
        const found = run.scenarios[scenario]?.[row]?.[metric];
        return found ? number(found.median) : "";
      });
      lines.push(`| [${run.date.slice(0, 10)} ${run.commit.id}](${run.name}) | ${row} | ${cells.join(" | ")} |`);
    }
  }
  return lines;
}
