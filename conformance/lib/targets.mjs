// The two things that are compared. A server is fresh for each script; the app process is kept per lane.
import { fork, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, openSync, closeSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { setTimeout as delay } from "node:timers/promises";

const here = path.dirname(fileURLToPath(import.meta.url));
export const TRUNKLINE_BIN = process.env.TRUNKLINE_BIN ?? path.join(here, "../../target/release/trunkline");
const START_MS = 10_000;
const STOP_MS = 2_000;

/** One lane: one script at a time. */
export class Lane {
  constructor(target) {
    this.target = target;
  }

  /** Starts what `script` needs: `{ port, ports, tell, onLog, stop }`. */
  async start(script) {
    const node = this.target === "trunkline" ? await startNode() : undefined;
    this.app ??= new AppProcess();
    try {
      const appPort = await this.app.start(script, node && `http://${node.listen}`);
      const port = node ? Number(node.listen.split(":").at(-1)) : appPort;
      return this.#server(node, port, appPort);
    } catch (error) {
      await node?.stop();
      this.#dropApp();
      throw error;
    }
  }

  #server(node, port, appPort) {
    const server = { port, ports: [port, appPort], onLog: () => {} };
    this.app.onLog = (...entry) => server.onLog(...entry);
    server.tell = (action, args) => this.app.tell(action, args);
    server.stop = async () => {
      const clean = await this.app.stop();
      if (!clean) this.#dropApp();
      await node?.stop();
    };
    return server;
  }

  #dropApp() {
    this.app?.end();
    this.app = undefined;
  }

  end() {
    this.#dropApp();
  }
}

/** The process in which the app of each script runs. */
class AppProcess {
  constructor() {
    this.calls = new Map();
    this.nextCall = 1;
    this.onLog = () => {};
    this.child = fork(path.join(here, "../app.mjs"), { serialization: "advanced", stdio: ["ignore", "ignore", "inherit", "ipc"] });
    this.child.on("message", (message) => {
      if (message.log) return this.onLog(...message.log);
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

  start(script, endpoint) {
    return this.#call({ do: "start", file: script.file, row: script.row, endpoint }, START_MS);
  }
  tell(action, args) {
    return this.#call({ do: "tell", action, args }, START_MS);
  }
  /** Whether the app went down by itself in time. */
  stop() {
    return this.#call({ do: "stop" }, STOP_MS).then(() => true, () => false);
  }
  end() {
    this.child.kill("SIGKILL");
  }

  #call(message, waitMs) {
    const call = this.nextCall++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`the app did not do "${message.do}" in ${waitMs} ms`)), waitMs);
      const settle = (settled) => (value) => (clearTimeout(timer), settled(value));
      this.calls.set(call, { resolve: settle(resolve), reject: settle(reject) });
      if (!this.child.connected) return settle(reject)(new Error("the app process ended"));
      this.child.send({ ...message, call });
    });
  }
}

async function startNode() {
  const folder = mkdtempSync(path.join(tmpdir(), "trunkline-conformance-"));
  const ready = path.join(folder, "ready.json");
  const output = openSync(path.join(folder, "output"), "w");
  const args = ["dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ready-file", ready, "--threads", "1"];
  const child = spawn(TRUNKLINE_BIN, args, { stdio: ["ignore", output, output] });
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

/** The content of a file that somebody may still be writing. */
function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}
