// Trunkline processes: one node, or two of a cluster behind a balancer.
import { spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { setTimeout as delay } from "node:timers/promises";
import { freePort, haproxy } from "../../testing/daemon.mjs";
import { until } from "../../testing/wait.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
export const TRUNKLINE_BIN = process.env.TRUNKLINE_BIN ?? path.join(here, "../../target/release/trunkline");
export const START_MS = 30_000;

/** One node on free ports: `{ listen, stop, … }`. */
export async function startNode(threads, more = [], listen = "127.0.0.1:0") {
  const folder = mkdtempSync(path.join(tmpdir(), "trunkline-conformance-"));
  const ready = path.join(folder, "ready.json");
  const output = openSync(path.join(folder, "output"), "w");
  const args = [
    "dev",
    "--listen",
    listen,
    "--admin",
    "127.0.0.1:0",
    "--ready-file",
    ready,
    "--threads",
    String(threads),
    ...more,
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
  return { ...addresses, stop };
}

/** The content of a file that may still be written. */
function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}

/** Nodes of one cluster behind HAProxy, which gives each stream to the next of them; what a lane uses like one node. */
export class Nodes {
  #nodes = [];

  /** `name`: of the cluster; `broker`: the address of NATS. */
  static async start(count, threads, name, broker) {
    const nodes = new Nodes();
    try {
      const ports = [];
      for (let number = 0; number < count; number += 1) ports.push(await freePort());
      const start = (port) => {
        const flags = ["--cluster", name, "--nats", broker, "--advertise", `http://127.0.0.1:${port}`];
        return startNode(threads, flags, `127.0.0.1:${port}`);
      };
      const started = await Promise.allSettled(ports.map(start));
      nodes.#nodes = started.filter(({ status }) => status === "fulfilled").map(({ value }) => value);
      for (const one of started) if (one.status === "rejected") throw one.reason;
      const port = await freePort();
      nodes.balancer = await haproxy(balancer(port, ports), port);
      nodes.listen = `127.0.0.1:${port}`;
      await until("the cluster", () => nodes.#all(async (node) => (await get(node, "/readyz")).status === 200));
      await until("every node's knowledge of the others", () =>
        nodes.#all(async (node) => (await peers(node)) === count - 1),
      );
      return nodes;
    } catch (error) {
      await nodes.stop();
      throw error;
    }
  }

  async #all(ask) {
    return (await Promise.all(this.#nodes.map(ask))).every((yes) => yes);
  }

  /** Where app servers connect: they learn of the other nodes there. */
  get endpoint() {
    return `http://${this.#nodes[0].listen}`;
  }

  /** The address of a node of which app servers only learn. */
  get last() {
    return this.#nodes.at(-1).listen;
  }

  get ports() {
    return [this.listen, ...this.#nodes.map(({ listen }) => listen)].map((address) =>
      Number(address.split(":").at(-1)),
    );
  }

  /** Waits until every node has as many trunks as there should be. */
  async trunks(count) {
    await until(`${count} trunks to every node`, () =>
      this.#all(async (node) => (await figure(node, "trunkline_trunks")) === count),
    );
  }

  /**
   * Whether nothing is left of a script that the next one could meet. Sessions that are being closed may stay for a
   * while: nobody gets them.
   */
  async isClean() {
    if (this.balancer.child.exitCode !== null) {
      console.error(`HAProxy has ended:\n${this.balancer.log.text}`);
      return false;
    }
    const left = async (node, name) => (await figure(node, name)) > 0;
    try {
      await until("no trunk", () => this.#all(async (node) => !(await left(node, "trunkline_trunks"))), {
        withinMs: 1_000,
      });
      return await this.#all(async (node) => !(await left(node, "trunkline_homes_waiting")));
    } catch {
      return false;
    }
  }

  async stop() {
    await Promise.all([this.balancer?.stop("SIGKILL"), ...this.#nodes.map((node) => node.stop())]);
  }
}

const get = ({ admin }, where) => fetch(`http://${admin}${where}`);

async function figure(node, name, label = "") {
  const text = await (await get(node, "/metrics")).text();
  const lines = text.split("\n").filter((line) => /^\w+/.exec(line)?.[0] === name && line.includes(label));
  return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

const peers = (node) => figure(node, "trunkline_mesh_peers", 'presence="up"');

/** Streams are passed on byte by byte, so that a transcript shows the node's own bytes. */
function balancer(port, ports) {
  return `defaults
  mode tcp
  timeout connect 2s
  timeout client 120s
  timeout server 120s
frontend clients
  bind 127.0.0.1:${port}
  default_backend nodes
backend nodes
  balance roundrobin
${ports.map((each, index) => `  server node${index} 127.0.0.1:${each}`).join("\n")}
`;
}
