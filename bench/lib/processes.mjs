// The processes of a measurement: started on the core of their role, waited for, and ended by their own ids.
import { spawn } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:net";
import { availableParallelism } from "node:os";
import { setTimeout as wait } from "node:timers/promises";

const READY_MS_MAX = 30_000;
const BOTH_ENDS = 2;

/** Servers of every row share one core, the generator has another: so a ratio of rates is a ratio of total CPU time. */
export const PINS = availableParallelism() > 1 ? { server: "0", generator: "1" } : undefined;

/** The command line that runs `command` on a core of its role; without a role, anywhere. */
export function pinned(role, command) {
  return PINS?.[role] ? ["taskset", "-c", PINS[role], ...command] : command;
}

/** Starts a program; its last output is kept for the error that explains why it did not start. */
export function start(command, environment = {}, role = "server") {
  const [program, ...args] = pinned(role, command);
  const env = { ...process.env, NODE_ENV: "production", ...environment };
  const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  child.lastWords = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (text) => (child.lastWords = (child.lastWords + text).slice(-2_000)));
  }
  child.on("error", (error) => (child.lastWords += error.message));
  return child;
}

/** The port and pid that one of our servers prints when it is ready. */
export async function announced(child) {
  const line = await poll(
    () => child.lastWords.split("\n").find((one) => one.startsWith('{"port"') && one.endsWith("}")),
    child,
  );
  return JSON.parse(line);
}

/** The first result of `look`. If the child ends, or takes too long, throws an error with its last output. */
export async function poll(look, child) {
  const until = Date.now() + READY_MS_MAX;
  for (;;) {
    const found = await look();
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

/** The memory that processes have from the system, where a page has 4 KiB. */
export function residentMB(pids) {
  const pages = pids.map((pid) => Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]));
  return (pages.reduce((sum, one) => sum + one, 0) * 4_096) / 1_000_000;
}

export function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** The CPU time of all threads so far, in microseconds. */
export function cpuUs(pid) {
  const tasks = `/proc/${pid}/task`;
  const nanoseconds = readdirSync(tasks).map((task) =>
    Number(readFileSync(`${tasks}/${task}/schedstat`, "utf8").split(" ")[0]),
  );
  return nanoseconds.reduce((sum, one) => sum + one, 0) / 1e3;
}

/** The number of clients when this process and its peers each hold `perClient` descriptors for one client. */
export function clientsThatFit(perClient = BOTH_ENDS) {
  const limit = Number(/^Max open files\s+\S+\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? 20_000);
  return Math.floor(limit / perClient / 1_000) * 1_000;
}

/** A process and all its descendants. */
export function pidsBelow(pid) {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
    return [pid, ...children.flatMap(pidsBelow)];
  } catch {
    return []; // It has ended.
  }
}
