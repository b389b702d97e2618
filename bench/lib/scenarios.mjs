// What is measured: the generator's arguments, and which figures of its report go into the ledger.

const echoMetrics = (r) => ({
  ...rates(r, "round trips/s", "round trip"),
  "round trip p50 ms": r.latency_ms.round_trip.p50,
  "round trip p99 ms": r.latency_ms.round_trip.p99,
  "round trip p99.9 ms": r.latency_ms.round_trip.p999,
});

const fanoutMetrics = (r) => ({
  ...rates(r, "deliveries/s", "delivery"),
  "delivery p50 ms": r.latency_ms.delivery.p50,
  "delivery p99 ms": r.latency_ms.delivery.p99,
  "last client p50 ms": r.latency_ms.last_delivery.p50,
  "messages per read": r.counters.deliveries / Math.max(1, r.counters.reads),
});

/** Rate, CPU per operation by owner, and who kept the cores busy. */
function rates(r, rate, unit) {
  const of = (name) => r.processes[name]?.cpu_us_per_operation;
  return {
    [rate]: r.operations_per_s,
    [`CPU us/${unit}, servers together`]: (of("app") ?? 0) + (of("node") ?? 0),
    [`CPU us/${unit}, app server`]: of("app"),
    [`CPU us/${unit}, node`]: of("node"),
    [`CPU us/${unit}, generator`]: r.generator.cpu_us_per_operation,
    "cores, servers": (r.processes.app?.cores ?? 0) + (r.processes.node?.cores ?? 0),
    ...shares(r),
  };
}

function shares(r) {
  return { "cores, generator": r.generator.cores, "cores, others": r.other_cores };
}

function echo(clients, window) {
  return {
    appServers: 1,
    args: ["echo", "--clients", clients, "--window", window, "--warmup", 3, "--duration", 6],
    metrics: echoMetrics,
  };
}

function fanout(window) {
  return {
    appServers: 1,
    args: ["fanout", "--clients", 5_000, "--window", window, "--warmup", 2, "--duration", 6],
    metrics: fanoutMetrics,
  };
}

export const SCENARIOS = {
  "idle, 10,000 sessions": {
    appServers: 1,
    // Compiles the code and grows the heap before memory is read the first time.
    warmup: ["echo", "--clients", 500, "--warmup", 0, "--duration", 3],
    args: ["idle", "--clients", 10_000, "--duration", 30, "--call", "gc"],
    metrics: (r) => ({
      "app server RSS bytes/session": r.processes.app.rss_growth_bytes_per_session,
      "node RSS bytes/session": r.processes.node?.rss_growth_bytes_per_session,
      "CPU us/connecting client, app server": r.processes.app.connect_cpu_us_per_client,
      "CPU us/connecting client, node": r.processes.node?.connect_cpu_us_per_client,
      "handshake p50 ms": r.latency_ms.handshake.p50,
      "handshake p99 ms": r.latency_ms.handshake.p99,
      "pings answered": r.counters.pings_answered,
      "lost sessions": Object.values(r.losses).reduce((sum, count) => sum + count, 0),
      "generator RSS bytes/client": r.generator.rss_bytes_per_client,
      ...shares(r),
    }),
  },
  "echo, 1,000 clients, window 1": echo(1_000, 1),
  "echo, 100 clients, window 16": echo(100, 16),
  "broadcast to 5,000, one by one": fanout(1),
  "broadcast to 5,000, bursts of 16": fanout(16),
  "kill -9 of one of two app servers, 1,000 clients": {
    appServers: 2,
    args: ["reconnect", "--clients", 1_000],
    kills: true,
    metrics: (r) => ({
      "all back ms": r.counters.all_back_ms,
      "back after p50 ms": r.latency_ms.since_kill.p50,
      "came back": r.counters.came_back,
      "others disturbed": r.counters.others_disturbed,
      "failed attempts": Object.values(r.losses).reduce((sum, n) => sum + n, 0) - r.counters.came_back,
    }),
  },
};
