// What processes use, and tables of it.
import { readFileSync, readdirSync } from "node:fs";

/** The CPU time of all threads of these processes so far, in microseconds; processes that have ended count nothing. */
export function cpuUs(pids) {
  let sum = 0;
  for (const pid of pids) {
    try {
      for (const task of readdirSync(`/proc/${pid}/task`))
        sum += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]) / 1e3;
    } catch {
      // It has ended, or a thread has while we looked.
    }
  }
  return sum;
}

/** Measures groups of processes, `{ name: pids }`: returns a function that gives the CPU time since then, by group. */
export function watch(groups) {
  const before = Object.entries(groups).map(([name, pids]) => [name, pids, cpuUs(pids)]);
  return () => Object.fromEntries(before.map(([name, pids, from]) => [name, cpuUs(pids) - from]));
}

/** The value that `share` of the numbers are below. */
export function percentile(numbers, share) {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

export const round = (value, digits = 1) => (value === undefined || Number.isNaN(value) ? "-" : value.toFixed(digits));

/** Prints rows of `[name, ...values]` in columns. */
export function table(title, heads, rows) {
  console.log(`\n${title}`);
  const all = [heads, ...rows].map((row) => row.map(String));
  const widths = heads.map((_, column) => Math.max(...all.map((row) => (row[column] ?? "").length)));
  for (const row of all) {
    const cells = row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])));
    console.log(`  ${cells.join("  ")}`);
  }
}

/** A line of progress on standard error, at most every two seconds. */
export function progress() {
  let last = 0;
  return (text) => {
    if (Date.now() - last < 2_000) return;
    last = Date.now();
    process.stderr.write(`  … ${text}\n`);
  };
}
