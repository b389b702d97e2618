// The servers that rows are made of. Each has its address, its process, and a way to end it.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { announced, freePort, poll, start, stop } from "./processes.mjs";

const app = new URL("../apps/app.mjs", import.meta.url).pathname;
const balancer = new URL("../peers/haproxy.cfg", import.meta.url).pathname;
const peers = new URL("../peers/target/release/", import.meta.url).pathname;

/** The built binary of a peer. */
export function peerBinary(name) {
  return join(process.env.CARGO_TARGET_DIR ?? peers, process.env.CARGO_TARGET_DIR ? "release" : "", name);
}

/** The runtime of an app: Node.js, or the Bun that npm brings. */
export const BUN = new URL("../node_modules/.bin/bun", import.meta.url).pathname;
const NODE = ["node", "--expose-gc"];

/** Starts an app server; `environment` says what it is behind. */
export async function startApp(environment, file = app, role = "server", runtime = NODE) {
  return announcing("app", start([...runtime, file], environment, role));
}

/** Starts the same app on Bun. */
export async function startBunApp(environment) {
  return startApp(environment, app, "server", [BUN]);
}

/** Starts a peer that is app and server in one. */
export async function startPeer(name, args = []) {
  return announcing("app", start([peerBinary(name), ...args]));
}

async function announcing(name, child) {
  const { port, pid } = await announced(child);
  return { name, url: `http://127.0.0.1:${port}`, port, pid, words: () => child.lastWords, stop: () => stop(child) };
}

/** Starts a node for a benchmark with further `args`; `role` chooses its core. */
export async function startTrunkline(binary, args = [], role = "server") {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-bench-"));
  const ready = join(folder, "ready.json");
  const free = "127.0.0.1:0";
  const command = [binary, "dev", "--listen", free, "--admin", free, "--ready-file", ready, ...args.map(String)];
  const child = start(command, {}, role);
  try {
    const { listen, pid } = await poll(() => readyFile(ready), child);
    return { name: "node", url: `http://${listen}`, pid, words: () => child.lastWords, stop: () => stop(child) };
  } catch (error) {
    await stop(child);
    throw error;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The file's content once it is complete. */
function readyFile(path) {
  if (!existsSync(path)) return undefined;
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}

/** Starts Redis on a free port, in memory only, in a folder of its own. */
export async function startRedis(role = "server") {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), "trunkline-redis-"));
  const args = ["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder];
  const child = start(["redis-server", ...args.map(String)], {}, role);
  const ended = async () => {
    await stop(child);
    rmSync(folder, { recursive: true, force: true });
  };
  await poll(() => child.lastWords.includes("Ready to accept connections"), child);
  return { name: "redis", url: `redis://127.0.0.1:${port}`, pid: child.pid, stop: ended };
}

/** Starts HAProxy with sticky sessions before two app servers. */
export async function startBalancer([first, second], role = "server") {
  const port = await freePort();
  const environment = { BALANCER_PORT: String(port), APP_PORT_1: String(first.port), APP_PORT_2: String(second.port) };
  const child = start(["haproxy", "-db", "-f", balancer], environment, role);
  await poll(() => takesConnections(port), child);
  return { name: "balancer", url: `http://127.0.0.1:${port}`, pid: child.pid, stop: () => stop(child) };
}

function takesConnections(port) {
  return new Promise((resolve) => {
    const stream = connect(port, "127.0.0.1");
    const answer = (is) => {
      stream.destroy();
      resolve(is);
    };
    stream.on("connect", () => answer(true)).on("error", () => answer(false));
  });
}
