// One Trunkline process, as a user starts it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { until } from "../../testing/wait.mjs";
import { Log } from "./log.mjs";
import { readMetrics } from "./metrics.mjs";

export const BINARY =
  process.env.E2E_BINARY ?? fileURLToPath(new URL("../../target/release/trunkline", import.meta.url));

/** Starts a node on free ports and waits until it accepts. */
export async function startNode({
  command = "dev",
  threads = 2,
  args = [],
  env = {},
  listen = "127.0.0.1:0",
  admin = "127.0.0.1:0",
} = {}) {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-e2e-"));
  const readyFile = join(folder, "ready.json");
  const child = spawn(
    BINARY,
    [command, "--listen", listen, "--admin", admin, "--threads", String(threads), "--ready-file", readyFile, ...args],
    // A folder of its own, in which no other configuration file is found.
    { cwd: folder, env: { ...cleanEnv(), ...env }, stdio: ["ignore", "pipe", "pipe"] },
  );
  const node = new TrunklineNode(child, folder);
  try {
    await until("the node's ready file", () => {
      if (child.exitCode !== null) throw new Error(`the node ended with ${child.exitCode}`);
      node.ready = JSON.parse(readFileSync(readyFile, "utf8"));
      return true;
    });
  } catch (error) {
    error.message += `\n${node.log.text}`;
    await node.stop();
    throw error;
  }
  return node;
}

function cleanEnv() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("TRUNKLINE_")));
}

class TrunklineNode {
  ready = { listen: "", admin: "", pid: 0 };

  constructor(child, folder) {
    this.child = child;
    this.folder = folder;
    this.log = new Log("node", child);
  }

  /** Where clients and app servers connect. */
  get url() {
    return `http://${this.ready.listen}`;
  }
  get port() {
    return Number(this.ready.listen.split(":").at(-1));
  }
  get adminUrl() {
    return `http://${this.ready.admin}`;
  }
  async metrics() {
    return readMetrics(await (await fetch(`${this.adminUrl}/metrics`)).text());
  }
  async status() {
    return (await fetch(`${this.adminUrl}/api/v1/status`)).json();
  }
  async stop(signal = "SIGTERM") {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const ended = once(this.child, "exit");
      this.child.kill(signal);
      const hard = setTimeout(() => this.child.kill("SIGKILL"), 10_000);
      await ended;
      clearTimeout(hard);
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}
