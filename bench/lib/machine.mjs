// The machine and the commit of a measurement, and a wait until the machine is idle.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, release, totalmem } from "node:os";
import { setTimeout as wait } from "node:timers/promises";

const root = new URL("../../", import.meta.url).pathname;
const TICKS_PER_SECOND = 100;
/** The cores that other programs may use on a machine that counts as idle. */
const QUIET_CORES_MAX = 0.15;
/** The length of one look at the machine. */
const LOOK_SECONDS = 1;

/** The conditions of a measurement other than the code. */
export function machine() {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memory_gib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node_js: process.version,
  };
}

/** The measured commit; `changed` when the measured code differs from it. */
export function commit() {
  const git = (...args) => execFileSync("git", ["-C", root, ...args], { encoding: "utf8" }).trim();
  const changed =
    git("status", "--porcelain", "--", "crates", "sdk", "bench", "Cargo.lock", ":(exclude)bench/ledger") !== "";
  return { id: git("rev-parse", "--short=12", "HEAD"), changed };
}

/** Waits until the machine is nearly idle, at most `secondsMax`. If it never is, the figure `cores, others` shows it. */
export async function quiet(secondsMax) {
  for (let waited = 0; waited < secondsMax; waited += LOOK_SECONDS) {
    const before = busyTicks();
    await wait(LOOK_SECONDS * 1_000);
    if ((busyTicks() - before) / TICKS_PER_SECOND / LOOK_SECONDS < QUIET_CORES_MAX) return;
  }
}

/** Ticks in which a core was busy: the first line of /proc/stat without idle, iowait and the guests. */
function busyTicks() {
  const [, ...fields] = readFileSync("/proc/stat", "utf8").split("\n", 1)[0].split(/\s+/).map(Number);
  return fields.slice(0, 8).reduce((sum, ticks, index) => (index === 3 || index === 4 ? sum : sum + ticks), 0);
}
