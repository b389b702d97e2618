// `trunkline bench` against an installation; the generator counts what is lost, doubled and out of order.
import { generate } from "../../bench/lib/generator.mjs";
import { startApp } from "../../bench/lib/servers.mjs";
import { BINARY } from "../harness/node.mjs";

/** A role that has no core of its own: everything runs on all cores. */
const ANYWHERE = "anywhere";

/** The app server of the benchmarks. */
export const benchApp = (environment) => startApp(environment, undefined, ANYWHERE);

/**
 * Runs one scenario. `groups`: `{ name: pids }`, whose CPU is measured. Returns the report; `faults` is what was wrong,
 * `unknown` how many clients heard that their session is not known.
 */
export async function load(scenario, urls, groups, args) {
  const processes = Object.entries(groups).flatMap(([name, pids]) => pids.map((pid) => `${name}=${pid}`));
  const report = await generate(BINARY, { urls, processes }, [scenario, ...args, "--quiet"], { role: ANYWHERE });
  const losses = Object.entries(report.losses ?? {});
  const unknown = losses.filter(([cause]) => /Session ID unknown|unknown/i.test(cause));
  return {
    ...report,
    faults: report.problems,
    unknown: unknown.reduce((sum, [, count]) => sum + count, 0),
    cpu: (name) => report.processes[name]?.cpu_us_per_operation ?? 0,
  };
}

/** The groups of a cluster's processes. */
export function groupsOf(cluster, apps) {
  const pids = (daemons) => daemons.filter(Boolean).map(({ child }) => child.pid);
  const groups = { nodes: pids(cluster.nodes), nats: pids(cluster.brokers), haproxy: pids([cluster.balancer]) };
  for (const [name, list] of Object.entries(groups)) if (list.length === 0) delete groups[name];
  return { ...groups, apps: apps.map(({ pid }) => pid) };
}
