// The ledger: one JSON file per run. Its page is made from all of them (`page.mjs`).
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { page } from "./page.mjs";

const folder = new URL("../ledger/", import.meta.url).pathname;

/** Median, lowest and highest, together with the samples in the order of the repetitions. */
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

/** A count that is the same each time. */
export function exactly(count) {
  const value = Number(count.toFixed(2));
  return { median: value, min: value, max: value, samples: [value] };
}

/** Writes a run and makes the page again. */
export function append(run) {
  mkdirSync(folder, { recursive: true });
  const name = `${run.date.replaceAll(":", "").slice(0, 15)}-${run.commit.id}.json`;
  // One metric per line: small, and readable in a diff.
  const text = JSON.stringify(run, null, 1).replace(
    /\{\s+((?:"x": \S+,\s+)?"median": \S+,\s+"min": \S+,\s+"max": \S+,\s+"samples": \[[^\]]*\])\s+\}/g,
    (_all, inside) => `{ ${inside.replace(/\s+/g, " ").replaceAll("[ ", "[").replaceAll(" ]", "]")} }`,
  );
  writeFileSync(join(folder, name), `${text}\n`);
  writePage();
  return `bench/ledger/${name}`;
}

/** Writes a plot of a curve; only the newest is kept. */
export function writePlot(name, svg) {
  mkdirSync(join(folder, "plots"), { recursive: true });
  writeFileSync(join(folder, "plots", `${name}.svg`), svg);
  return `bench/ledger/plots/${name}.svg`;
}

/** `README.md` of the ledger. */
export function writePage() {
  const all = runs();
  if (all.length > 0) writeFileSync(join(folder, "README.md"), page(all));
}

/** The newest run that has a scenario. */
export function newestWith(scenario) {
  return runs().find((run) => run.scenarios[scenario]);
}

/** The newest run that has curves. */
export function newestCurves() {
  return runs().find((run) => run.curves);
}

/** All runs, the newest first. */
function runs() {
  const names = readdirSync(folder)
    .filter((name) => name.endsWith(".json"))
    .sort()
    .reverse();
  return names.map((name) => ({ name, ...JSON.parse(readFileSync(join(folder, name), "utf8")) }));
}
