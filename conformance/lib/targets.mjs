// The two targets that are compared. A server is fresh for each script; the app processes are kept per lane.
import { fork, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, openSync, closeSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { setTimeout as delay } from "node:timers/promises";

const here = path.dirname(fileURLToPath(import.meta.url));
export const TRUNKLINE_BIN = process.env.TRUNKLINE_BIN ?? path.join(here, "../../target/release/trunkline");
const START_MS = 30_000;
const STOP_MS = 2_000;

/** A lane runs one script at a time. */
export class Lane {
  /** @param setup `{ appServers, threads }`: app server processes on the hub, and threads of the node */
  constructor(target, setup) {
    this.target = target;
    this.setup = setup;
    this.apps = [];
  }

  /** Starts what `script` needs; see `#server`. */
  async start(script) {
    const node = this.target === "trunkline" ? await startNode(this.setup.threads) : undefined;
    const count = this.#appServers(script);
    try {
      while (this.apps.length < count) this.apps.push(new AppProcess());
      const apps = this.apps.slice(0, count);
      const order = {
        file: script.file,
        row: script.row,
        endpoint: node && `http://${node.listen}`,
        pair: !node && script.pair,
      };
      if (order.pair) join(apps);
      const appPorts = await Promise.all(apps.map((app, index) => app.call("start", { ...order, index }, START_MS)));
      return this.#server(node, apps, appPorts);
    } catch (error) {
      await node?.stop();
      this.#dropApps();
      throw error;
    }
  }

  #appServers({ single, pair }) {
    if (pair) return 2;
    return single || this.target === "npm" ? 1 : this.setup.appServers;
  }

  /** `port` is where clients connect; `clientPorts` are all ports that clients may use in turn. */
  #server(node, apps, appPorts) {
    const nodePort = node && Number(node.listen.split(":").at(-1));
    const server = {
      port: nodePort ?? appPorts[0],
      clientPorts: node ? [nodePort] : appPorts,
      ports: node ? [nodePort, ...appPorts] : appPorts,
      appServers: apps.length,
      onLog: () => {},
      tell: (action, args, index = 0) => apps[index].call("tell", { action, args }, START_MS),
      idle: () => Promise.allSettled(apps.map((app) => app.call("idle", {}, START_MS))),
      settle: (round) => Promise.all(apps.map((app) => app.call("settle", { args: [round] }, START_MS))),
    };
    for (const app of apps) app.onLog = (...entry) => server.onLog(...entry);
    server.stop = async () => {
      const clean = await Promise.all(
        apps.map((app) =>
          app.call("stop", {}, STOP_MS).then(
            () => true,
            () => false,
          ),
        ),
      );
      if (clean.includes(false)) this.#dropApps();
      await node?.stop();
    };
    return server;
  }

  #dropApps() {
    for (const app of this.apps.splice(0)) app.end();
  }

  end() {
    this.#dropApps();
  }
}

/** Carries what one app server publishes to the others. */
function join(apps) {
  for (const app of apps)
    app.onPublished = (message) => apps.forEach((other) => other !== app && other.child.send({ published: message }));
}

/** A process in which the app of each script runs. */
class AppProcess {
  constructor() {
    this.calls = new Map();
    this.nextCall = 1;
    this.onLog = () => {};
    this.onPublished = () => {};
    this.child = fork(path.join(here, "../app.mjs"), {
      serialization: "advanced",
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    this.child.on("message", (message) => {
      if (message.log) return this.onLog(...message.log);
      if (message.published) return this.onPublished(message.published);
      const call = this.calls.get(message.call);
      this.calls.delete(message.call);
      if (message.error) call?.reject(new Error(message.error));
      else call?.resolve(message.result);
    });
    this.child.on("exit", () => {
      for (const call of this.calls.values()) call.reject(new Error("the app process ended"));
      this.calls.clear();
    });
  }

  /** Calls one of the `handlers` of app.mjs in the process; resolves with what it returned. */
  call(name, message, waitMs) {
    const call = this.nextCall++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`the app did not do "${name}" in ${waitMs} ms`)), waitMs);
      const settle = (settled) => (value) => (clearTimeout(timer), settled(value));
      this.calls.set(call, { resolve: settle(resolve), reject: settle(reject) });
      if (!this.child.connected) return settle(reject)(new Error("the app process ended"));
      this.child.send({ ...message, do: name, call });
    });
  }

  end() {
    this.child.kill("SIGKILL");
  }
}

async function startNode(threads) {
  const folder = mkdtempSync(path.join(tmpdir(), "trunkline-conformance-"));
  const ready = path.join(folder, "ready.json");
  const output = openSync(path.join(folder, "output"), "w");
  const args = [
    "dev",
    "--listen",
    "127.0.0.1:0",
    "--admin",
    "127.0.0.1:0",
    "--ready-file",
    ready,
    "--threads",
    String(threads),
  ];
  // The node must not get the runner's own variables.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("TRUNKLINE_")));
  const child = spawn(TRUNKLINE_BIN, args, { env, stdio: ["ignore", output, output] });
  closeSync(output);
  const exited = new Promise((resolve) => child.once("exit", resolve).once("error", resolve));
  const deadline = performance.now() + START_MS;
  let addresses;
  while (!(addresses = readJson(ready))) {
    if (child.exitCode !== null || child.pid === undefined || performance.now() > deadline) {
      child.kill("SIGKILL");
      throw new Error(`trunkline did not start:\n${readFileSync(path.join(folder, "output"), "utf8")}`);
    }
    await delay(10);
  }
  const stop = async () => {
    if (child.exitCode !== null) {
      const said = readFileSync(path.join(folder, "output"), "utf8");
      console.error(`trunkline ended by itself with ${child.exitCode}:\n${said.slice(-2000)}`);
    }
    child.kill("SIGKILL");
    await exited;
    rmSync(folder, { recursive: true });
  };
  return { listen: addresses.listen, stop };
}

/** The content of a file that may still be written. */
function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}
