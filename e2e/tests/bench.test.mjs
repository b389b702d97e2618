// The load generator on a small scale: every scenario against Trunkline and against a plain Socket.IO server. Counts
// must be exact; durations do not matter.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before, describe } from "node:test";
import { until } from "../../testing/wait.mjs";
import { startApp } from "../harness/app.mjs";
import { BINARY } from "../harness/node.mjs";
import { PLAIN, World } from "../harness/world.mjs";

const CLIENTS = 40;
const options = { connectionStateRecovery: {}, pingInterval: 300 };

/** Runs the generator to its end; returns exit code, output and report. */
function bench(...args) {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-e2e-bench-"));
  const [json, html] = [join(folder, "report.json"), join(folder, "report.html")];
  const child = spawn(BINARY, ["bench", ...args.map(String), "--json", json, "--html", html], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (said += text));
  const ended = once(child, "close");
  return {
    child,
    async end() {
      const [code] = await ended;
      const read = (path) => {
        try {
          return readFileSync(path, "utf8");
        } catch {
          return undefined;
        }
      };
      const [report, page] = [read(json), read(html)];
      rmSync(folder, { recursive: true });
      return { code, said, page, report: report && JSON.parse(report) };
    },
  };
}

/** A run that must have no faults; returns its report. */
async function clean(scenario, url, ...args) {
  const run = bench(scenario, "--url", url, "--clients", CLIENTS, ...args);
  const { code, said, page, report } = await run.end();
  assert.equal(code, 0, said);
  assert.deepEqual(report.problems, [], said);
  assert.equal(report.joined, CLIENTS);
  assert.match(page, /Nothing was lost, doubled or out of order/);
  return report;
}

const SCENARIOS = {
  async idle(url) {
    const { counters } = await clean("idle", url, "--duration", 1);
    assert.ok(counters.pings_answered >= CLIENTS, `${counters.pings_answered} pings`);
  },
  async "idle, polling"(url) {
    const { counters } = await clean("idle", url, "--duration", 1, "--transport", "polling");
    assert.ok(counters.pings_answered >= CLIENTS, `${counters.pings_answered} pings`);
  },
  async echo(url) {
    const { counters, latency_ms } = await clean(
      "echo",
      url,
      "--warmup",
      0,
      "--duration",
      1,
      "--window",
      3,
      "--workers",
      2,
    );
    assert.ok(counters.round_trips >= CLIENTS * 3);
    assert.ok(latency_ms.round_trip.count > 0 && latency_ms.handshake.count === CLIENTS);
  },
  async "echo at a fixed rate"(url) {
    const { counters, latency_ms } = await clean("echo", url, "--warmup", 0, "--duration", 1, "--rate", 200);
    assert.ok(latency_ms.round_trip.count >= 190, `${latency_ms.round_trip.count} of 200 were begun`);
    assert.equal(counters.refused_sends, 0);
  },
  async "echo, polling"(url) {
    const { counters } = await clean("echo", url, "--warmup", 0, "--duration", 1, "--transport", "polling");
    assert.ok(counters.round_trips >= CLIENTS);
  },
  async fanout(url) {
    const { counters } = await clean("fanout", url, "--warmup", 0, "--count", 32, "--window", 8, "--workers", 2);
    assert.deepEqual([counters.broadcasts, counters.deliveries], [32, 32 * CLIENTS]);
  },
  async "fanout at a fixed rate"(url) {
    const { counters } = await clean("fanout", url, "--warmup", 0, "--duration", 1, "--rate", 20);
    assert.deepEqual([counters.broadcasts, counters.deliveries], [20, 20 * CLIENTS]);
  },
  async rooms(url) {
    const args = ["--warmup", 0, "--duration", 1, "--rooms", 8, "--rooms-per-client", 2, "--window", 4];
    const { counters } = await clean("rooms", url, ...args);
    // Every room has equally many members. Messages under way when the window begins or ends are counted on one side
    // only.
    const members = (CLIENTS * 2) / 8;
    assert.ok(counters.messages > 4);
    assert.ok(Math.abs(counters.deliveries - counters.messages * members) <= 4 * members);
  },
  async upgrade(url) {
    const { counters, latency_ms } = await clean("upgrade", url);
    assert.deepEqual([counters.upgraded, counters.upgrade_failures], [CLIENTS, 0]);
    assert.equal(latency_ms.upgrade.count, CLIENTS);
    assert.ok(counters.round_trips >= CLIENTS * 2, "each client talked behind its upgrade");
  },
  async avalanche(url) {
    const { counters } = await clean("avalanche", url, "--warmup", 0, "--backoff", "none", "--rounds", 2);
    assert.deepEqual([counters.cut, counters.came_back], [CLIENTS * 2, CLIENTS * 2]);
  },
  async "avalanche with socket.io-client's delays"(url) {
    const { counters } = await clean("avalanche", url, "--warmup", 0, "--cut", "reset");
    assert.deepEqual([counters.cut, counters.came_back], [CLIENTS, CLIENTS]);
  },
  async jitter(url) {
    const { counters } = await clean("jitter", url, "--away", 0.5, "--rounds", 2, "--rate", 40);
    const cut = (CLIENTS - 1) * 2;
    assert.deepEqual([counters.cut, counters.recovered, counters.not_recovered], [cut, cut, 0]);
    assert.equal(counters.deliveries, counters.broadcasts * CLIENTS, "everybody had everything once");
    assert.ok(counters.caught_up > 0, "something was sent while they were away");
  },
};

function scenariosAgainst(what, start) {
  describe(what, () => {
    let server;
    before(async () => {
      server = await start();
    });
    after(() => server?.stop());
    for (const [name, check] of Object.entries(SCENARIOS)) test(name, () => check(server.url));
  });
}

const plainServer = (settings = options) => startApp({ app: "bench", options: settings });

scenariosAgainst("the generator against plain Socket.IO", plainServer);
if (!PLAIN) {
  scenariosAgainst("the generator against Trunkline", () => World.start({ app: "bench", options }));

  test("the generator sees an app server die", async () => {
    const world = await World.start({ app: "bench", servers: ["amber", "birch"] });
    try {
      const victim = world.apps[0].child.pid;
      const { counters } = await clean("reconnect", world.url, "--warmup", 0, "--kill", victim);
      assert.equal(counters.came_back, counters[`before_on_${victim}`]);
      assert.equal(counters[`after_on_${world.apps[1].child.pid}`], CLIENTS);
    } finally {
      await world.stop();
    }
  });
}

test("without recovery, what was missed is counted and the run fails", async () => {
  const server = await plainServer({});
  try {
    const run = bench("jitter", "--url", server.url, "--clients", CLIENTS, "--away", 0.5, "--rate", 40);
    const { code, said, report } = await run.end();
    assert.equal(code, 1, said);
    assert.equal(report.counters.recovery_offered, 0);
    assert.ok(report.counters.missed_while_away >= CLIENTS - 1, said);
    assert.equal(report.counters.duplicates + report.counters.missing, 0, said);
    assert.match(said, /offers no connectionStateRecovery/);
  } finally {
    await server.stop();
  }
});

test("messages that come twice or not at all end with code 1", async () => {
  const server = await plainServer();
  try {
    await server.run(({ io }) => {
      const emit = io.emit.bind(io);
      io.emit = (name, text) => {
        if (text.startsWith("2:")) return true;
        if (text.startsWith("3:")) emit(name, text);
        return emit(name, text);
      };
    });
    const run = bench("fanout", "--url", server.url, "--clients", CLIENTS, "--warmup", 0, "--count", 6, "--window", 6);
    const { code, said, report } = await run.end();
    assert.equal(code, 1, said);
    assert.deepEqual([report.counters.missing, report.counters.duplicates], [CLIENTS, CLIENTS]);
  } finally {
    await server.stop();
  }
});

test("Ctrl-C ends a run with a report of what there was", async () => {
  const server = await plainServer();
  try {
    const run = bench(
      "echo",
      "--url",
      server.url,
      "--clients",
      CLIENTS,
      "--warmup",
      0,
      "--duration",
      600,
      "--workers",
      2,
    );
    await until("clients to talk", () => server.run(({ io }) => io.engine.clientsCount === 40));
    run.child.kill("SIGINT");
    const { code, said, page, report } = await run.end();
    assert.equal(code, 130, said);
    assert.match(report.cut_short, /^interrupted while/);
    assert.deepEqual(report.problems, [], said);
    assert.match(page, /Partial report/);
    await until("no client is left", () => server.run(({ io }) => io.engine.clientsCount === 0));
  } finally {
    await server.stop();
  }
});

test("clients bring what they are told to: auth, query, headers, and a namespace", async () => {
  const world = await World.start({ app: "bench", options, servers: ["amber"] });
  try {
    await world.apps[0].run(({ io }) => {
      const chat = io.of("/chat");
      chat.use(({ handshake: { auth, query, headers } }, next) => {
        const right =
          auth.token === "t" && query.room === "a b" && headers["x-own"] === "y" && headers.cookie?.startsWith("id=7");
        next(right ? undefined : new Error("not you"));
      });
      chat.on("connection", (socket) => {
        socket.on("echo", (text, acknowledge) => acknowledge(text));
        socket.on("broadcast", (first, count, at, bytes) => {
          for (let sequence = first; sequence < first + count; sequence += 1)
            chat.emit("b", `${sequence}:${at}:`.padEnd(bytes, "x"));
        });
      });
    });
    const shown = [
      "--namespace",
      "/chat",
      "--auth",
      '{"token":"t"}',
      "--query",
      "room=a b",
      "--header",
      "X-Own: y",
      "--header",
      "Cookie: id=7",
    ];
    for (const transport of ["websocket", "polling", "upgrade"]) {
      const { counters } = await clean(
        "echo",
        world.url,
        "--warmup",
        0,
        "--duration",
        0.3,
        "--transport",
        transport,
        ...shown,
      );
      assert.ok(counters.round_trips >= CLIENTS, transport);
    }
    await clean("fanout", world.url, "--warmup", 0, "--count", 8, "--window", 8, ...shown);
    await clean("jitter", world.url, "--away", 0.2, "--rate", 40, ...shown);
    for (const transport of ["websocket", "polling"]) {
      const { code, said } = await bench(
        "idle",
        "--url",
        world.url,
        "--transport",
        transport,
        ...shown.slice(0, 2),
      ).end();
      assert.equal(code, 1);
      assert.match(said, /no client could connect: the namespace refuses its clients: \{"message":"not you"\}/);
    }
  } finally {
    await world.stop();
  }
});

test("when nobody can connect, the server's own reason is told", { skip: PLAIN }, async () => {
  const world = await World.start({ servers: [] });
  try {
    for (const transport of ["websocket", "polling"]) {
      const { code, said } = await bench("idle", "--url", world.url, "--clients", 2, "--transport", transport).end();
      assert.equal(code, 1);
      assert.match(said, /no client could connect: HTTP 503 .*app server/, said);
    }
  } finally {
    await world.stop();
  }
});
