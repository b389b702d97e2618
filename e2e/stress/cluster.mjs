// Several nodes as one: what it costs, and what clients notice.
//
//   node stress/cluster.mjs polls     clients that only poll, through plain round robin; beside two socket.io processes
//                                     with Redis and a sticky HAProxy
//   node stress/cluster.mjs upgrades  clients that begin with polling and change to a WebSocket at any node, amid
//                                     broadcasts; the same with one node
//   node stress/cluster.mjs cost      echo and broadcast over WebSockets at 1, 2 and 3 nodes, and at a node without cluster
//   node stress/cluster.mjs nats      one of three NATS servers is killed; all are gone for --away seconds
//   node stress/cluster.mjs growth    what 2, 5, 10 … nodes cost: beats, links, writes of an app server
//   node stress/cluster.mjs all       all of these
//
// [--clients N] [--seconds N of each measurement] [--rounds N] [--rate N messages, broadcasts or newcomers a second]
// [--nodes N, or a list for `growth`] [--apps N] [--away SECONDS] [--threads N of a node] [--small: a minute for all]
//
// Every run ends by itself. Exit code 1 when something was lost, doubled or out of order.
import { parseArgs } from "node:util";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    clients: { type: "string" },
    seconds: { type: "string" },
    rounds: { type: "string" },
    rate: { type: "string" },
    nodes: { type: "string" },
    apps: { type: "string" },
    away: { type: "string" },
    threads: { type: "string", default: "1" },
    small: { type: "boolean", default: false },
  },
});

/** Defaults of each run, and those of `--small`. */
const RUNS = {
  polls: [
    { clients: 2_000, seconds: 600, rounds: 1, rate: undefined, nodes: 3, apps: 2 },
    { clients: 100, seconds: 5, rounds: 1, nodes: 3, apps: 2 },
  ],
  upgrades: [
    { clients: 2_000, seconds: 600, rate: 40, nodes: 3, apps: 3 },
    { clients: 60, seconds: 60, rate: 20, nodes: 3, apps: 3 },
  ],
  cost: [
    { clients: 500, seconds: 10, rounds: 3, rate: 4_000, nodes: 3, apps: 1 },
    { clients: 60, seconds: 1, rounds: 1, rate: 500, nodes: 3, apps: 1 },
  ],
  nats: [
    { clients: 90, seconds: 10, nodes: 3, apps: 2, away: 30 },
    { clients: 18, seconds: 2, nodes: 3, apps: 2, away: 6 },
  ],
  growth: [
    { seconds: 15, rate: 100, nodes: "2,5,10,20", apps: 1 },
    { seconds: 2, rate: 50, nodes: "2,4", apps: 1 },
  ],
};

const [wanted] = positionals;
const names = wanted === "all" ? Object.keys(RUNS) : [wanted];
if (!names.every((name) => Object.hasOwn(RUNS, name))) {
  console.error(`name one of: ${[...Object.keys(RUNS), "all"].join(", ")}`);
  process.exit(2);
}
let good = true;
for (const name of names) {
  const { run } = await import(`./cluster_${name}.mjs`);
  const setting = { ...RUNS[name][options.small ? 1 : 0], threads: Number(options.threads) };
  for (const key of ["clients", "seconds", "rounds", "rate", "apps", "away"])
    if (options[key] !== undefined) setting[key] = Number(options[key]);
  if (options.nodes !== undefined) setting.nodes = options.nodes;
  if (name !== "growth") setting.nodes = Number(setting.nodes);
  good = (await run(setting)) && good;
}
console.log(good ? "\nnothing was lost, doubled or out of order" : "\nFAULTS: see above");
process.exit(good ? 0 : 1);
