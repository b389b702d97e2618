// Runs the load generator, `trunkline bench`: the only place that knows its command line.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { pinned } from "./processes.mjs";

/** Runs a scenario against a row's servers and returns its report. While it runs, `watch` is called at intervals. */
export async function generate(binary, { urls, processes }, args, { watch, role = "generator" } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-bench-"));
  const json = join(folder, "report.json");
  const asked = [...urls.flatMap((url) => ["--url", url]), ...processes.flatMap((one) => ["--process", one])];
  const command = [binary, "bench", ...args.map(String), ...asked, "--json", json];
  const timer = watch && setInterval(watch, 500);
  try {
    const child = start(role, command, ["ignore", "ignore", "inherit"]);
    const code = await new Promise((resolve, reject) => child.on("error", reject).on("exit", resolve));
    if (!existsSync(json)) throw new Error(`the generator ended with ${code} and no report`);
    return JSON.parse(readFileSync(json, "utf8"));
  } finally {
    clearInterval(timer);
    rmSync(folder, { recursive: true });
  }
}

/** Starts clients that only hold their sessions until the child is stopped. */
export function holdClients(binary, urls, clients) {
  const args = ["idle", "--clients", clients, "--duration", 1_800, "--quiet", ...urls.flatMap((url) => ["--url", url])];
  return start("generator", [binary, "bench", ...args.map(String)], ["ignore", "ignore", "inherit"]);
}

function start(role, command, stdio) {
  const [program, ...rest] = pinned(role, command);
  const child = spawn(program, rest, { stdio });
  running.add(child.on("exit", () => running.delete(child)));
  return child;
}

/** The running generators: an interrupted run must leave no load behind. */
const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill()));
