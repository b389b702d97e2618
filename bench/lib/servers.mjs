// The servers of each row: started fresh for every measurement, on the server core, and ended by their own ids.
import { spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync, mkdtempSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

const READY_MS_MAX = 20_000;
const app = new URL("../apps/app.mjs", import.meta.url).pathname;

/** Servers of every row share one core, the generator has another: a ratio of rates is a ratio of total CPU. */
export const PINS = availableParallelism() > 1 ? { server: "0", generator: "1" } : undefined;

/** The command line that runs `command` on a core of its role. */
export function pinned(role, command) {
  return PINS ? ["taskset", "-c", PINS[role], ...command] : command;
}

/** Each row: starts `appServers` app servers; says where clients go and whom to measure. */
export const ROWS = {
  "npm socket.io + ws": async (appServers) => {
    const apps = await all(appServers, () => startApp({}));
    return system({ apps, urls: apps.map((one) => one.url) });
  },
  trunkline: async (appServers, { trunkline }) => {
    const node = await startTrunkline(trunkline);
    const apps = await all(appServers, () => startApp({ TRUNKLINE_ENDPOINT: node.url }), [node]);
    return system({ apps, node, urls: [node.url] });
  },
};

/** Starts several; when one fails, ends those that run. */
async function all(count, start, others = []) {
  const started = [...others];
  try {
    for (let index = 0; index < count; index++) started.push(await start());
  } catch (error) {
    await Promise.all(started.map((one) => one.stop()));
    throw error;
  }
  return started.slice(others.length);
}

function system({ apps, node, urls }) {
  const processes = apps.map((one) => `app=${one.pid}`);
  if (node) processes.push(`node=${node.pid}`);
  const stop = () => Promise.all([...apps, ...(node ? [node] : [])].map((one) => one.stop()));
  return { urls, processes, appPids: apps.map((one) => one.pid), stop };
}

/** An app server: `environment` says behind what it is. */
export async function startApp(environment, file = app) {
  const child = start(["node", "--expose-gc", file], environment);
  const line = await firstLine(child);
  const { port, pid } = JSON.parse(line);
  return { url: `http://127.0.0.1:${port}`, pid, stop: () => stop(child) };
}

export async function startTrunkline(binary) {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-bench-"));
  const ready = join(folder, "ready.json");
  const free = "127.0.0.1:0";
  const child = start([binary, "dev", "--listen", free, "--admin", free, "--ready-file", ready]);
  try {
    const { listen, pid } = await poll(() => readyFile(ready), child);
    return { url: `http://${listen}`, pid, stop: () => stop(child) };
  } catch (error) {
    await stop(child);
    throw error;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The file's content once it is whole. */
function readyFile(path) {
  if (!existsSync(path)) return undefined;
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}

/** Starts a program on the server core. */
export function start(command, environment = {}) {
  const [program, ...args] = pinned("server", command);
  const env = { ...process.env, NODE_ENV: "production", ...environment };
  const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  child.lastWords = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (text) => (child.lastWords = (child.lastWords + text).slice(-2_000)));
  }
  child.on("error", (error) => (child.lastWords += error.message));
  return child;
}

function firstLine(child) {
  return poll(() => child.lastWords.split("\n").find((line) => line.startsWith('{"port"')), child);
}

/** The first answer of `look`; a child that ends, or takes too long, is an error with its last words. */
export async function poll(look, child) {
  const until = Date.now() + READY_MS_MAX;
  for (;;) {
    const found = look();
    if (found) return found;
    if (hasEnded(child) || Date.now() > until) {
      await stop(child);
      throw new Error(`a server did not start: ${child.lastWords}`);
    }
    await wait(20);
  }
}

function hasEnded(child) {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

export async function stop(child) {
  if (hasEnded(child)) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}
