// The scenarios: each one drives a row's running servers and returns the figures for the ledger.
import { setTimeout as wait } from "node:timers/promises";

import { generate } from "./generator.mjs";
import { kernelWatch } from "./kernel.mjs";
import { cpuUs, residentMB } from "./processes.mjs";

/** V8 returns memory to the system some seconds after a collection. */
const SETTLE_SECONDS = 15;
/** By then ten thousand clients have joined, even if earlier ones had to leave first, and receive broadcasts. */
const LISTENERS_SECONDS = 14;
/** Two heartbeats of each client: engine.io's interval is 25 seconds. */
const HEARTBEAT_SECONDS = 50;
/** The time over which servers without clients are watched. */
const ALONE_SECONDS = 10;
/** A polling client has a second connection for its POSTs, as long as the server keeps it open. */
const POLLING_PAIRS = 2;

export const IDLE = "idle, 10,000 sessions";
export const HEARTBEATS = "heartbeats, 10,000 idle sessions for 50 s";
export const CONNECT = "connecting, 10,000 clients and as many more";
export const ECHO = "echo, 1,000 clients, window 1";
export const ECHO_16 = "echo, 100 clients, window 16";
export const SINGLE = "broadcast to 10,000, one by one";
export const BURSTS = "broadcast to 10,000, bursts of 16";
export const POLLING = "polling, 5,000 sessions held in a GET";
export const FAIR = "echo of 20 clients beside broadcasts to 10,000";
export const STAMPEDE = "stampede, 10,000 clients cut off return at once";
export const KILL = "kill -9 of one of two app servers, 1,000 clients";

/** The CPU time of a report's processes, by owner and in total. */
function byOwner(processes, unit, figure) {
  const owners = { app: "app server", node: "node", redis: "Redis", balancer: "HAProxy" };
  const of = (name) => processes[name] && figure(processes[name]);
  const together = Object.keys(processes).reduce((sum, name) => sum + of(name), 0);
  const each = Object.entries(owners).map(([name, owner]) => [`${unit}, ${owner}`, of(name)]);
  return { [`${unit}, servers together`]: together, ...Object.fromEntries(each) };
}

/** Rate, CPU time per operation by owner, and which processes kept the cores busy. */
function rates(r, rate, unit) {
  return {
    [rate]: r.operations_per_s,
    ...byOwner(r.processes, `CPU us/${unit}`, (one) => one.cpu_us_per_operation),
    [`CPU us/${unit}, generator`]: r.generator.cpu_us_per_operation,
    "cores, servers": Object.values(r.processes).reduce((sum, { cores }) => sum + cores, 0),
    ...shares(r),
  };
}

function shares(r) {
  return { "cores, generator": r.generator.cores, "cores, others": r.other_cores };
}

const lost = (r) => Object.values(r.losses).reduce((sum, count) => sum + count, 0);

/** As many of `wanted` clients as the row can hold with this machine's descriptors; notes when they are fewer. */
function fitting(row, wanted, notes, pairs = 1) {
  const clients = Math.min(wanted, Math.floor((row.clientsMax ?? wanted * pairs) / pairs));
  if (clients < wanted)
    notes.push(`${clients.toLocaleString("en-US")} clients: more do not fit into the balancer's descriptors`);
  return clients;
}

/** Runs the generator and keeps its notes. */
async function load(context, args, more) {
  const report = await prepare(context, args, more);
  context.notes.push(...report.notes);
  return report;
}

/** A run whose rates are not used. */
async function prepare({ options, system, notes }, args, more) {
  const report = await generate(options.generator, system, args, more);
  notes.push(...report.problems);
  return report;
}

/** Compiles the code and grows the heap before memory is read the first time. */
const warmUp = (context) => prepare(context, ["echo", "--clients", 500, "--warmup", 0, "--duration", 3, "--quiet"]);

async function idle(context) {
  const clients = fitting(context.row, 10_000, context.notes);
  await warmUp(context);
  const kernel = kernelWatch(clients, context.system.pairs);
  const args = ["idle", "--clients", clients, "--duration", SETTLE_SECONDS, "--call", "gc"];
  const r = await load(context, args, { watch: kernel.look });
  const grown = kernel.growth();
  if (!grown?.slab)
    context.notes.push("no kernel memory: /proc/slabinfo could not be read, or not all sessions stood at once");
  return {
    ...byOwner(r.processes, "RSS bytes/session", (one) => one.rss_growth_bytes_per_session),
    "kernel slab bytes/session, both ends": grown?.slab,
    "kernel socket buffers bytes/session": grown?.buffers,
    ...byOwner(r.processes, "CPU us/handshake", (one) => one.connect_cpu_us_per_client),
    "handshake p50 ms": r.latency_ms.handshake.p50,
    "handshake p99 ms": r.latency_ms.handshake.p99,
    "pings answered": r.counters.pings_answered,
    "lost sessions": lost(r),
    "generator RSS bytes/client": r.generator.rss_bytes_per_client,
    ...shares(r),
  };
}

/** What sessions cost that do nothing but answer pings, without what the servers use when they have no sessions. */
async function heartbeats(context) {
  const clients = fitting(context.row, 10_000, context.notes);
  await warmUp(context);
  await wait(SETTLE_SECONDS * 1_000);
  const cpu = () => context.system.servers.map(({ pid }) => cpuUs(pid));
  const before = cpu();
  await wait(ALONE_SECONDS * 1_000);
  const alone = cpu().map((now, place) => (now - before[place]) / ALONE_SECONDS);
  const aloneOf = (pids) =>
    context.system.servers.reduce((sum, { pid }, at) => sum + (pids.includes(pid) ? alone[at] : 0), 0);
  const r = await load(context, ["idle", "--clients", clients, "--duration", HEARTBEAT_SECONDS]);
  const perSession = ({ cores, pids }) => (cores * 1e6 - aloneOf(pids)) / clients;
  return {
    ...byOwner(r.processes, "CPU us/s of a session", perSession),
    "CPU us/s without sessions, servers together": alone.reduce((sum, one) => sum + one, 0),
    "pings answered": r.counters.pings_answered,
    "lost sessions": lost(r),
    ...shares(r),
  };
}

/**
 * Without forced collections, which also throw away what V8 has learnt about the code. The second ten thousand clients
 * meet a server that is fully compiled.
 */
async function connecting(context) {
  const clients = fitting(context.row, 10_000, context.notes);
  await warmUp(context);
  const connect = () => load(context, ["idle", "--clients", clients, "--duration", 1]);
  const [first, next] = [await connect(), await connect()];
  return {
    ...byOwner(first.processes, "CPU us/handshake", (one) => one.connect_cpu_us_per_client),
    ...byOwner(next.processes, "CPU us/handshake of the next", (one) => one.connect_cpu_us_per_client),
    "handshake p50 ms": next.latency_ms.handshake.p50,
    "handshake p99 ms": next.latency_ms.handshake.p99,
    "lost sessions": lost(first) + lost(next),
    ...shares(next),
  };
}

const echo = (clients, window) => async (context) => {
  const r = await load(context, ["echo", "--clients", clients, "--window", window, "--warmup", 3, "--duration", 5]);
  return {
    ...rates(r, "round trips/s", "round trip"),
    "round trip p50 ms": r.latency_ms.round_trip.p50,
    "round trip p99 ms": r.latency_ms.round_trip.p99,
    "round trip p99.9 ms": r.latency_ms.round_trip.p999,
  };
};

const fanout = (wanted, window) => async (context) => {
  const clients = fitting(context.row, wanted, context.notes);
  const r = await load(context, ["fanout", "--clients", clients, "--window", window, "--warmup", 2, "--duration", 5]);
  return fanoutFigures(r);
};

export function fanoutFigures(r) {
  return {
    ...rates(r, "deliveries/s", "delivery"),
    "delivery p50 ms": r.latency_ms.delivery.p50,
    "delivery p99 ms": r.latency_ms.delivery.p99,
    "last client p50 ms": r.latency_ms.last_delivery.p50,
    "messages per read": r.counters.deliveries / Math.max(1, r.counters.reads),
  };
}

/**
 * The delay that a few talking clients notice because many others listen: echoes at a fixed rate, first alone, then
 * while broadcasts are sent without a pause.
 */
async function fair(context) {
  const listeners = fitting(context.row, 10_000, context.notes);
  const echoes = (warmup) =>
    load(context, ["echo", "--clients", 20, "--rate", 200, "--warmup", warmup, "--duration", 5, "--quiet"]);
  const alone = await echoes(1);
  const beside = {};
  for (const [name, window] of [
    ["one by one", 1],
    ["bursts of 16", 16],
  ]) {
    // They join first: a server that broadcasts without a pause may accept no client until it has finished.
    const few = echoes(LISTENERS_SECONDS);
    const broadcasts = load(context, [
      "fanout",
      "--clients",
      listeners,
      "--window",
      window,
      "--warmup",
      1,
      "--duration",
      20,
      "--quiet",
    ]);
    const [echo, all] = [await few, await broadcasts];
    beside[`beside ${name}: echo p50 ms`] = echo.latency_ms.round_trip.p50;
    beside[`beside ${name}: echo p99 ms`] = echo.latency_ms.round_trip.p99;
    beside[`beside ${name}: deliveries/s`] = all.operations_per_s;
  }
  return {
    "alone: echo p50 ms": alone.latency_ms.round_trip.p50,
    "alone: echo p99 ms": alone.latency_ms.round_trip.p99,
    ...beside,
  };
}

/** Idle sessions over long polling: each waits in a GET that the server holds. */
const polling = (wanted) => async (context) => {
  const sessions = fitting(context.row, wanted, context.notes, POLLING_PAIRS);
  await warmUp(context);
  const r = await load(context, [
    "idle",
    "--transport",
    "polling",
    "--clients",
    sessions,
    "--duration",
    SETTLE_SECONDS,
    "--call",
    "gc",
  ]);
  return {
    ...byOwner(r.processes, "RSS bytes/polling session", (one) => one.rss_growth_bytes_per_session),
    ...byOwner(r.processes, "CPU us/polling handshake", (one) => one.connect_cpu_us_per_client),
    "handshake p50 ms": r.latency_ms.handshake.p50,
    "handshake p99 ms": r.latency_ms.handshake.p99,
    "lost sessions": lost(r),
  };
};

/** Each client retries at once, in three rounds: the first round still runs code that is not compiled. */
async function stampede(context) {
  const clients = fitting(context.row, 10_000, context.notes);
  await warmUp(context);
  const r = await load(context, ["avalanche", "--backoff", "none", "--rounds", 3, "--clients", clients]);
  await wait(SETTLE_SECONDS * 1_000);
  const left = ([name, { pids }]) => [name, { mb: residentMB(pids) }];
  return {
    ...byOwner(r.processes, "CPU us/return", (one) => one.cpu_us_per_operation),
    "back after p50 ms": r.latency_ms.since_cut.p50,
    "back after p99 ms": r.latency_ms.since_cut.p99,
    "handshake p99 ms": r.latency_ms.handshake.p99,
    "failed attempts": r.counters.failed_attempts,
    ...byOwner(Object.fromEntries(Object.entries(r.processes).map(left)), "RSS MB when all have left", ({ mb }) => mb),
    ...shares(r),
  };
}

async function kill(context) {
  const r = await load(context, ["reconnect", "--clients", 1_000, "--kill", context.system.appPids[0]]);
  return {
    "all back ms": r.counters.all_back_ms,
    "back after p50 ms": r.latency_ms.since_kill.p50,
    "came back": r.counters.came_back,
    "others disturbed": r.counters.others_disturbed,
    "failed attempts": lost(r) - r.counters.came_back,
  };
}

/** `appServers`: how many a row with a choice starts; `kills`: only for rows that survive it. */
export const SCENARIOS = {
  [IDLE]: { appServers: 1, run: idle },
  [HEARTBEATS]: { appServers: 1, run: heartbeats },
  [CONNECT]: { appServers: 1, run: connecting },
  [ECHO]: { appServers: 1, run: echo(1_000, 1) },
  [ECHO_16]: { appServers: 1, run: echo(100, 16) },
  [SINGLE]: { appServers: 1, run: fanout(10_000, 1) },
  [BURSTS]: { appServers: 1, run: fanout(10_000, 16) },
  [POLLING]: { appServers: 1, run: polling(5_000) },
  [FAIR]: { appServers: 1, run: fair },
  [STAMPEDE]: { appServers: 1, run: stampede },
  [KILL]: { appServers: 2, run: kill, kills: true },
};
