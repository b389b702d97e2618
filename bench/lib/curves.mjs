// The growth curves: each has its values of x, its rows, and what is measured at one point.
import { setTimeout as wait } from "node:timers/promises";

import { generate } from "./generator.mjs";
import { kernelWatch } from "./kernel.mjs";
import { BARE, NPM, ROWS, TRUNKLINE } from "./rows.mjs";
import { fanoutFigures } from "./scenarios.mjs";
import { startApp, startTrunkline } from "./servers.mjs";

/** Sessions in one node or server: below the usual hard limit of 20,000 descriptors. */
const SESSIONS_PER_PROCESS = 18_000;
/**
 * With fewer sessions the app's heap varies more than the sessions take, so growth divided by sessions means nothing.
 */
const SESSIONS_FOR_MEMORY_MIN = 10_000;
const ROOM_MEMBERS = 10;
const ROOM_CLIENTS_MAX = 5_000;

/** Starts as many nodes as the sessions need, and one app server with a trunk to each. */
async function severalNodes(sessions, { trunkline, nodeArgs }, role) {
  const started = [];
  const stop = () => Promise.all(started.map((one) => one.stop()));
  try {
    while (started.length < Math.ceil(sessions / SESSIONS_PER_PROCESS))
      started.push(await startTrunkline(trunkline, nodeArgs, role));
    const urls = started.map(({ url }) => url);
    started.push(await startApp({ TRUNKLINE_ENDPOINT: urls.join(",") }, undefined, role));
    return { urls, processes: started.map(({ name, pid }) => `${name}=${pid}`), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function servers(row, sessions, options, role) {
  return row === TRUNKLINE ? severalNodes(sessions, options, role) : ROWS[row].start(1, options);
}

const together = (processes, figure) => Object.values(processes).reduce((sum, one) => sum + figure(one), 0);

/** Starts the row's servers, measures, ends them. */
async function withServers({ row, sessions, options, role }, measure) {
  const system = await servers(row, sessions, options, role);
  options.stopping = system.stop;
  try {
    return await measure((args, more) =>
      generate(options.generator, system, args, { role: role ?? "generator", ...more }),
    );
  } finally {
    await system.stop();
  }
}

async function atSessions(sessions, row, options) {
  return withServers({ row, sessions, options }, async (run) => {
    const warm = await run(["echo", "--clients", 500, "--warmup", 0, "--duration", 3]);
    const kernel = kernelWatch(sessions);
    const idle = await run(["idle", "--clients", sessions, "--duration", 12, "--call", "gc"], { watch: kernel.look });
    // The servers see all clients leave before all return.
    await wait(1_000 + sessions / 20);
    const all = await run(["fanout", "--clients", sessions, "--warmup", 1, "--duration", 4]);
    return {
      problems: [...warm.problems, ...idle.problems, ...all.problems],
      metrics: {
        "user memory MiB, all of it": together(idle.processes, (one) => one.rss_after_bytes) / 2 ** 20,
        "user memory B/session":
          sessions < SESSIONS_FOR_MEMORY_MIN
            ? undefined
            : together(idle.processes, (one) => one.rss_growth_bytes_per_session),
        "kernel memory B/session, both ends": kernel.growth()?.slab,
        "CPU us/handshake": together(idle.processes, (one) => one.connect_cpu_us_per_client),
        "CPU us/delivery": fanoutFigures(all)["CPU us/delivery, servers together"],
        "delivery p99 ms": all.latency_ms.delivery.p99,
      },
    };
  });
}

/** Rooms of ten: first more clients, up to some thousands, then more rooms for each client. */
async function atRooms(rooms, row, options) {
  const clients = Math.min(ROOM_CLIENTS_MAX, rooms * ROOM_MEMBERS);
  const each = Math.max(1, Math.round((rooms * ROOM_MEMBERS) / clients));
  return withServers({ row, sessions: clients, options }, async (run) => {
    const args = ["rooms", "--clients", clients, "--rooms", rooms, "--rooms-per-client", each, "--window", 8];
    const r = await run([...args, "--warmup", 2, "--duration", 4, "--call", "gc"]);
    return {
      problems: r.problems,
      metrics: {
        "CPU us/delivery": together(r.processes, (one) => one.cpu_us_per_operation),
        "user memory MiB": together(r.processes, (one) => one.rss_after_bytes - one.rss_before_bytes) / 2 ** 20,
        "delivery p99 ms": r.latency_ms.delivery.p99,
      },
    };
  });
}

async function atPayload(bytes, row, options) {
  return withServers({ row, sessions: 1_000, options }, async (run) => {
    const r = await run(["fanout", "--clients", 1_000, "--payload", bytes, "--warmup", 1, "--duration", 4]);
    const cpu = fanoutFigures(r)["CPU us/delivery, servers together"];
    return {
      problems: r.problems,
      metrics: {
        "CPU us/delivery": cpu,
        "CPU ns/byte": (cpu * 1e3) / bytes,
        "delivery p99 ms": r.latency_ms.delivery.p99,
      },
    };
  });
}

/** Without pins: servers and generator share all cores, because more threads need more cores. */
async function atThreads(threads, row, options) {
  const more = { ...options, nodeArgs: [...options.nodeArgs, "--threads", threads] };
  const result = await withServers({ row, sessions: 5_000, options: more, role: "anywhere" }, async (run) => {
    const all = await run(["fanout", "--clients", 5_000, "--warmup", 1, "--duration", 4]);
    const bursts = await run(["fanout", "--clients", 5_000, "--window", 16, "--warmup", 1, "--duration", 4]);
    const echo = await run(["echo", "--clients", 1_000, "--warmup", 1, "--duration", 4]);
    return {
      problems: [...all.problems, ...bursts.problems, ...echo.problems],
      metrics: {
        "deliveries/s, one by one": all.operations_per_s,
        "deliveries/s, bursts of 16": bursts.operations_per_s,
        "echo round trips/s": echo.operations_per_s,
        "CPU us/delivery": fanoutFigures(all)["CPU us/delivery, servers together"],
        "CPU us/echo": together(echo.processes, (one) => one.cpu_us_per_operation),
      },
    };
  });
  return result;
}

/** `panels`: the figures that are plotted; the others are in the table. `max`: the row's largest x. */
export const CURVES = {
  sessions: {
    title: "Cost against sessions (above 18,000: several nodes, one app server)",
    xs: [1_000, 3_000, 10_000, 18_000, 36_000, 100_000, 300_000, 1_000_000],
    rows: { [BARE]: SESSIONS_PER_PROCESS, [TRUNKLINE]: 1_000_000, [NPM]: SESSIONS_PER_PROCESS },
    at: atSessions,
    panels: ["user memory MiB, all of it", "CPU us/handshake", "CPU us/delivery"],
  },
  rooms: {
    title: "Cost against rooms of ten",
    xs: [1, 10, 100, 1_000, 10_000, 100_000],
    rows: { [TRUNKLINE]: 100_000, [NPM]: 100_000 },
    at: atRooms,
    panels: ["CPU us/delivery", "user memory MiB", "delivery p99 ms"],
  },
  payload: {
    title: "Cost against bytes of payload, broadcast to 1,000",
    xs: [16, 128, 1_024, 8_192, 65_536],
    rows: { [BARE]: 65_536, [TRUNKLINE]: 65_536, [NPM]: 65_536 },
    at: atPayload,
    panels: ["CPU us/delivery", "CPU ns/byte", "delivery p99 ms"],
  },
  threads: {
    title: "Rates against the node's threads (generator and app server on the same two cores)",
    xs: [1, 2],
    rows: { [TRUNKLINE]: 2 },
    at: atThreads,
    panels: ["deliveries/s, one by one", "deliveries/s, bursts of 16", "echo round trips/s"],
  },
};
