// The two targets that are compared. A server is fresh for each script; the app processes are kept per lane.
import { fork } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Nodes, START_MS, startNode } from "./node.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const STOP_MS = 2_000;
/** Names for clusters, which share one NATS. */
let clusters = 0;

/** A lane runs one script at a time. */
export class Lane {
  /**
   * @param setup `{ appServers, threads, nodes, broker }`: app server processes on the hub, threads of a node, nodes of
   *   a cluster, and its NATS
   */
  constructor(target, setup) {
    this.target = target;
    this.setup = setup;
    this.apps = [];
  }

  /** A fresh node; or the lane's cluster, which takes seconds to start and is used again. */
  async #node() {
    if (this.target !== "trunkline") return undefined;
    const { nodes, threads, broker } = this.setup;
    if (nodes === 1) return startNode(threads);
    clusters += 1;
    this.cluster ??= await Nodes.start(nodes, threads, `conformance-${process.pid}-${clusters}`, broker);
    return this.cluster;
  }

  /** Starts what `script` needs; see `#server`. */
  async start(script) {
    const node = await this.#node();
    const count = this.#appServers(script);
    try {
      while (this.apps.length < count) this.apps.push(new AppProcess());
      const apps = this.apps.slice(0, count);
      const order = {
        file: script.file,
        row: script.row,
        endpoint: node && (node.endpoint ?? `http://${node.listen}`),
        pair: !node && script.pair,
      };
      if (order.pair) join(apps);
      const appPorts = await Promise.all(apps.map((app, index) => app.call("start", { ...order, index }, START_MS)));
      await node?.trunks?.(count);
      return this.#server(node, apps, appPorts, script);
    } catch (error) {
      await node?.stop();
      this.cluster = undefined;
      this.#dropApps();
      throw error;
    }
  }

  #appServers({ single, pair }) {
    if (pair) return 2;
    return single || this.target === "npm" ? 1 : this.setup.appServers;
  }

  /** `port` is where clients connect; `clientPorts` are all ports that clients may use in turn. */
  #server(node, apps, appPorts, { pair }) {
    // Scripts of a pair of app servers need one client at each: only a node by itself deals out that exactly.
    const address = pair && node?.last ? node.last : node?.listen;
    const nodePort = node && Number(address.split(":").at(-1));
    const server = {
      port: nodePort ?? appPorts[0],
      clientPorts: node ? [nodePort] : appPorts,
      ports: node ? [...(node.ports ?? [nodePort]), ...appPorts] : appPorts,
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
      if (node && node === this.cluster && !clean.includes(false) && (await node.isClean())) return;
      this.cluster = undefined;
      await node?.stop();
    };
    return server;
  }

  #dropApps() {
    for (const app of this.apps.splice(0)) app.end();
  }

  async end() {
    this.#dropApps();
    await this.cluster?.stop();
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
