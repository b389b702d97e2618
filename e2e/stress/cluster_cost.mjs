// What a cluster costs where nothing has to cross: WebSockets that stay where they are, echo and broadcast.
import { Cluster } from "../harness/cluster.mjs";
import { benchApp, groupsOf, load } from "./cluster_load.mjs";
import { percentile, round, table } from "./cluster_figures.mjs";

/** A broadcast reaches every client, so there are fewer of them. */
const BROADCASTS = 40;

export async function run({ clients, seconds, rounds, rate, nodes, apps: count, threads }) {
  // Each number of nodes twice: more nodes cost more per message at the same rate, because each turn has fewer of them.
  const systems = [];
  for (let size = 1; size <= nodes; size += 1) {
    const name = `${size} node${size > 1 ? "s" : ""}`;
    systems.push([`${name}, no cluster`, size, true], [`${name}, cluster`, size, false]);
  }
  const kinds = {
    echo: ["echo", ["--rate", rate]],
    broadcast: ["fanout", ["--rate", Math.max(1, Math.round((rate / clients) * (BROADCASTS / 10)))]],
  };
  const found = new Map();
  let good = true;
  // All are there the whole time and take turns, so that a busy moment of the machine meets each of them.
  const all = [];
  try {
    for (const [name, size, alone] of systems) all.push([name, await installation(size, alone, count, threads)]);
    for (let number = 1; number <= rounds; number += 1) {
      for (const [kind, [scenario, args]] of Object.entries(kinds)) {
        for (const [name, { urls, groups }] of all) {
          process.stderr.write(`  … ${kind}, ${name}, round ${number} of ${rounds}\n`);
          const more = ["--clients", clients, "--duration", seconds, "--warmup", 1, ...args];
          const report = await load(scenario, urls, groups, more);
          good &&= report.faults.length === 0;
          for (const fault of report.faults) console.log(`  ${kind}, ${name}: ${fault}`);
          const key = `${kind}|${name}`;
          found.set(key, [...(found.get(key) ?? []), report]);
        }
      }
    }
  } finally {
    for (const [, { stop }] of all) await stop();
  }
  for (const kind of Object.keys(kinds)) {
    const median = (name, what) => percentile(found.get(`${kind}|${name}`).map(what), 0.5);
    const rows = systems.map(([name], index) => {
      const base = median(systems[index - (index % 2)][0], (report) => report.cpu("nodes"));
      const cpu = median(name, (report) => report.cpu("nodes"));
      const apps = median(name, (report) => report.cpu("apps"));
      const nats = median(name, (report) => report.cpu("nats"));
      return [name, round(cpu, 2), `${round((cpu / base - 1) * 100)} %`, round(apps, 2), round(nats, 2)];
    });
    const heads = ["", "nodes", "beside no cluster", "apps", "nats"];
    table(`${kind}: CPU in µs per message that a client got, median of ${rounds}`, heads, rows);
  }
  return good;
}

async function installation(size, alone, count, threads) {
  const cluster = await Cluster.start({ nodes: size, threads, alone, balanced: false });
  const apps = [];
  const stop = async () => {
    await Promise.all(apps.map((app) => app.stop()));
    await cluster.stop();
  };
  try {
    for (let number = 0; number < count; number += 1)
      apps.push(await benchApp({ TRUNKLINE_ENDPOINT: cluster.endpoint }));
    await cluster.trunks(count);
  } catch (error) {
    await stop();
    throw error;
  }
  return { urls: cluster.nodes.map(({ url }) => url), groups: groupsOf(cluster, apps), stop };
}
