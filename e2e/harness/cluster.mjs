// Nodes of one cluster, with NATS, and a balancer that gives each request to the next node.
import { freePort, haproxy, natsCluster } from "../../testing/daemon.mjs";
import { until } from "../../testing/wait.mjs";
import { startNode } from "./node.mjs";

let clusters = 0;

export class Cluster {
  nodes = [];
  brokers = [];
  #args;

  /**
   * `brokers`: how many NATS servers; `broker`: one that is there already; `alone`: nodes without a cluster, for
   * comparison; `balanced`: whether HAProxy is in front; `args` of every node; `advertised(port)` gives the address
   * that app servers use for the node with this port; `linked(index, ports)` gives the ports at which a node finds the
   * NATS servers with these ports.
   */
  static async start({
    nodes = 3,
    brokers = 1,
    broker,
    threads = 1,
    alone = false,
    balanced = true,
    args = [],
    advertised = (port) => `http://127.0.0.1:${port}`,
    linked,
  } = {}) {
    const cluster = new Cluster();
    clusters += 1;
    try {
      if (!alone && !broker) cluster.brokers = await natsCluster(brokers, "", { hidden: linked !== undefined });
      const ports = (broker ? [broker] : cluster.brokers).map(({ port }) => port);
      const own = alone ? [] : ["--cluster", `e2e-${process.pid}-${clusters}`];
      cluster.#args = { threads, alone, advertised, linked, ports, args: [...own, ...args] };
      const started = await Promise.allSettled(Array.from({ length: nodes }, (_, index) => cluster.#start(index)));
      cluster.nodes = started.filter(({ status }) => status === "fulfilled").map(({ value }) => value);
      for (const one of started) if (one.status === "rejected") throw one.reason;
      if (balanced) {
        const port = await freePort();
        cluster.balancer = await haproxy(roundRobin(port, cluster.nodes), port);
      }
      await cluster.ready();
      return cluster;
    } catch (error) {
      error.message += `\n${cluster.logs}`;
      await cluster.stop();
      throw error;
    }
  }

  async #start(index, place = {}) {
    const { threads, alone, advertised, linked, ports, args } = this.#args;
    const listen = place.listen ?? `127.0.0.1:${await freePort()}`;
    const own = [];
    if (!alone) {
      const reached = (await linked?.(index, ports)) ?? ports;
      own.push("--nats", reached.map((port) => `nats://127.0.0.1:${port}`).join(","));
      own.push("--advertise", await advertised(Number(listen.split(":").at(-1))));
    }
    return startNode({ threads, listen, admin: place.admin, args: [...args, ...own] });
  }

  /** Starts one more node, which the balancer does not know, or `index` again, at its old place. */
  async startNode(index = this.nodes.length) {
    const { listen, admin } = this.nodes[index]?.ready ?? {};
    this.nodes[index] = await this.#start(index, { listen, admin });
    return this.nodes[index];
  }

  /** Where clients connect. */
  get url() {
    return this.balancer?.url ?? this.nodes[0].url;
  }

  /** Where app servers connect; in a cluster they learn of the other nodes there. */
  get endpoint() {
    return this.#args.alone ? this.nodes.map(({ url }) => url) : [this.nodes[0].url];
  }

  /** Waits until every node that runs is ready and knows all others. */
  async ready() {
    const { alone } = this.#args;
    const count = this.running.length;
    for (const node of this.running) {
      await until("a node's readiness", async () => (await fetch(`${node.adminUrl}/readyz`)).status === 200);
      if (alone) continue;
      await until(
        "a node's knowledge of all others",
        async () => (await figure(node, "trunkline_mesh_peers", 'presence="up"')) === count - 1,
      );
    }
  }

  /** Waits until every node has this many trunks. */
  async trunks(count) {
    for (const node of this.running) {
      await until(`${count} trunks to each node`, async () => (await figure(node, "trunkline_trunks")) === count);
    }
  }

  get running() {
    return this.nodes.filter(({ child }) => child.exitCode === null && child.signalCode === null);
  }

  /** The sum of a metric over all nodes that run; `label` is a part of its labels. */
  async sum(name, label = "") {
    const all = await Promise.all(this.running.map((node) => figure(node, name, label)));
    return all.reduce((sum, value) => sum + value, 0);
  }

  async stop() {
    await this.balancer?.stop("SIGKILL");
    await Promise.all(this.nodes.map((node) => node.stop("SIGKILL")));
    await Promise.all(this.brokers.map((broker) => broker.stop("SIGKILL")));
  }

  /** The output of all processes, for a test that failed. */
  get logs() {
    return [...this.nodes, ...this.brokers].map(({ log }) => log.text).join("\n");
  }
}

/** The sum of a metric's samples at one node. */
export async function figure(node, name, label = "") {
  let sum = 0;
  for (const [key, value] of await node.metrics()) {
    if ((key === name || key.startsWith(`${name}{`)) && key.includes(label)) sum += value;
  }
  return sum;
}

/** HAProxy's configuration; each HTTP request goes to the next node. */
function roundRobin(port, nodes) {
  const servers = nodes.map(({ ready }, index) => {
    const admin = ready.admin.split(":").at(-1);
    return `    server node${index} ${ready.listen} check port ${admin}`;
  });
  return `global
    maxconn 9800
defaults
    mode http
    timeout connect 2s
    timeout client 120s
    timeout server 120s
    timeout tunnel 1h
frontend clients
    bind 127.0.0.1:${port} backlog 4096
    default_backend nodes
backend nodes
    balance roundrobin
    option httpchk GET /readyz
    option redispatch 1
    retries 3
    retry-on conn-failure 503
    http-request disable-l7-retry if METH_POST
    default-server inter 500ms fall 3 rise 1
${servers.join("\n")}
`;
}
