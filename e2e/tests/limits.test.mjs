// A full node: new clients get an answer that says so, and connected ones go on.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import test from "node:test";
import { engineUrl, socketUrl } from "../../testing/engine.mjs";
import { textFrame } from "../../testing/frames.mjs";
import { requestText } from "../../testing/http.mjs";
import { RawStream } from "../../testing/stream.mjs";
import { send } from "../../testing/trunk_batch.mjs";
import { until } from "../../testing/wait.mjs";
import { upgradeHead } from "../../testing/websocket.mjs";
import { MB, inArena } from "../harness/arena.mjs";
import { startNode } from "../harness/node.mjs";
import { PLAIN } from "../harness/world.mjs";

const handshake = requestText("GET", engineUrl());

/** Checks that a new client gets an answer with the cause and the time to wait, and that its stream then ends. */
async function assertFull(arena, error) {
  const stream = new RawStream(arena.node.port).write(handshake);
  await stream.closed();
  const [{ status, headers, body }] = stream.responses;
  assert.equal(status, 503, stream.text);
  assert.equal(JSON.parse(body).error, error);
  assert.deepEqual([headers["retry-after"], headers.connection], ["5", "close"]);
}

inArena(
  "at streams_max handshakes get 503; sessions and app servers do not",
  { args: ["--streams-max", "12"] },
  async (arena) => {
    const app = await arena.app();
    const polled = await arena.polling(app);
    const clients = [];
    for (;;) {
      const raw = new RawStream(arena.node.port).write(upgradeHead(socketUrl()));
      await until("an answer", () => raw.status);
      if (raw.status !== 101) {
        await raw.closed();
        assert.equal(JSON.parse(raw.responses[0].body).error, "streams_full");
        break;
      }
      clients.push(raw);
    }
    assert.ok(clients.length >= 5, `${clients.length} got in`);
    await assertFull(arena, "streams_full");
    // An existing session may use a stream for a moment, and an app server may connect.
    app.send(send(polled.session, "still here"));
    const answer = await polled.polling.get();
    assert.deepEqual([answer.status, answer.body], [200, "4still here"]);
    const second = await arena.app();
    assert.equal(second.ended, undefined);
    // Beyond the few streams that are still read, the answer is the same, but the request is not read.
    const crowd = Array.from({ length: 20 }, () => new RawStream(arena.node.port));
    await until("refusals", () => crowd.some(({ status }) => status === 503));
    for (const raw of crowd) raw.destroy();
    await until(
      "the counters",
      async () =>
        (await arena.count(/edge_requests_refused_total\{cause="streams_full"/)) >= 2 &&
        (await arena.count(/edge_streams_refused_total\{cause="streams_full"/)) >= 1 &&
        (await arena.count(/edge_handshakes_total\{outcome="streams_full"/)) >= 2,
    );
    // There is room again, so handshakes are accepted again.
    for (const raw of clients) raw.destroy();
    await until("a new session", async () => {
      const raw = new RawStream(arena.node.port).write(handshake);
      // While the crowd still counts, a stream may be refused before its request is read, which sometimes resets it.
      await until("an answer or the end", () => raw.status || raw.ended);
      raw.destroy();
      return raw.status === 200;
    });
  },
);

inArena(
  "strangers who ask for trunks hold no stream that app servers and sessions need",
  { args: ["--streams-max", "12"] },
  async (arena) => {
    const app = await arena.app();
    const polled = await arena.polling(app);
    const withoutToken = requestText("GET", "/trunk/v1");
    const over = new AbortController();
    const stranger = async () => {
      while (!over.signal.aborted) {
        const stream = new RawStream(arena.node.port);
        // Sends requests as long as it can: each answer would prove that the stream is in use.
        while (!over.signal.aborted && !stream.ended) {
          stream.write(withoutToken);
          await Promise.race([stream.closed(), new Promise((done) => setTimeout(done, 50))]);
        }
        stream.destroy();
        await new Promise((done) => setTimeout(done, 100 + Math.random() * 400));
      }
    };
    const strangers = Array.from({ length: 20 }, stranger);
    try {
      await until(
        "streams that are refused",
        async () => (await arena.count(/edge_streams_refused_total\{cause="streams_full"/)) > 0,
      );
      for (let round = 0; round < 3; round += 1) {
        // It retries, as an SDK does: among so many streams its handshake may be the one that must make room.
        const late = await until("an app server", () => arena.app().catch(() => undefined));
        late.kill();
        app.send(send(polled.session, `round ${round}`));
        const answer = await polled.polling.get();
        assert.deepEqual([answer.status, answer.body], [200, `4round ${round}`]);
      }
    } finally {
      over.abort();
    }
    await Promise.all(strangers);
  },
);

test("without a word of the operator the ceiling of memory is a share of what there is", async (t) => {
  const node = await startNode();
  t.after(() => node.stop());
  const metrics = await (await fetch(`${node.adminUrl}/metrics`)).text();
  const ceiling = Number(/memory_ceiling_bytes (\d+)/.exec(metrics)?.[1]);
  const machine = Number(/MemTotal:\s+(\d+)/.exec(readFileSync("/proc/meminfo", "utf8"))[1]) * 1024;
  assert.ok(ceiling > 0 && ceiling <= 0.75 * machine, `${ceiling} of ${machine}`);
});

const task = (pid, tid, file) => readFileSync(`/proc/${pid}/task/${tid}/${file}`, "utf8");

/** The acceptor's CPU time in hundredths of a second. */
function acceptorTicks(pid) {
  const tid = readdirSync(`/proc/${pid}/task`).find((one) => task(pid, one, "comm").trim() === "acceptor");
  const [utime, stime] = task(pid, tid, "stat").split(") ")[1].split(" ").slice(11, 13).map(Number);
  return utime + stime;
}

function limitDescriptors(pid, most) {
  execFileSync("prlimit", ["--pid", String(pid), `--nofile=${most}:`]);
}

inArena("without descriptors newcomers get 503, and the acceptor does not spin", {}, async (arena) => {
  const app = await arena.app({ echoes: true });
  const { client } = await arena.session(app);
  const { pid } = arena.node.child;
  limitDescriptors(pid, readdirSync(`/proc/${pid}/fd`).length);
  const before = acceptorTicks(pid);
  // The acceptor already has the descriptor for the next stream.
  const last = await arena.session(app);
  for (let number = 0; number < 5; number += 1) await assertFull(arena, "streams_full");
  const waiting = new RawStream(arena.node.port);
  await waiting.closed();
  await arena.rounds(100);
  assert.ok(acceptorTicks(pid) - before < 20, `${acceptorTicks(pid) - before} ticks`);
  client.text("4hello");
  await client.heard("4hello");
  last.client.text("4hello");
  await last.client.heard("4hello");
  limitDescriptors(pid, 1000);
  // The acceptor notices that by itself.
  const { client: late } = await arena.session(app);
  late.text("4late");
  await late.heard("4late");
  await arena.counted(/edge_streams_refused_total\{cause="descriptors_exhausted"/, 6);
});

// Nothing is kept for an app server that does not number its broadcasts.
const RECOVERY = {
  connectionStateRecovery: { maxDisconnectionDuration: 600_000, skipMiddlewares: true },
  numbers: true,
};

/**
 * Opens a session that does not read, with some megabytes waiting; then sends recorded broadcasts until they fill the
 * node.
 */
async function fill(arena, app) {
  const stalled = await arena.session(app);
  stalled.client.pause();
  for (let number = 0; number < 30; number += 1) await app.sendWithin(send(stalled.session, "z".repeat(0.7 * MB)));
  app.send({ type: "Number", high: 0, low: 1 }, { type: "Namespace", nsp: 1, name: "/" });
  const parts = [{ kind: 0, data: Buffer.alloc(0.5 * MB, "r") }];
  const closed = () => app.of("Close", stalled.session).length > 0;
  const isFull = async () => (await arena.count(/memory_heap_bytes/)) >= (await arena.count(/memory_ceiling_bytes/));
  for (let number = 0; !(closed() && (await isFull())); number += 1) {
    assert.ok(number < 200, "memory has a ceiling");
    app.send({ type: "Recorded", nsp: 1, flags: 0, offset: `o${number}`, rooms: [], except: [], parts });
    await app.ping();
  }
  return stalled;
}

const CEILING = ["--memory-bytes-max", "40MiB", "--outbox-bytes-max", "64MiB"];

inArena(
  "at the ceiling of memory handshakes get 503, and who holds much is closed",
  { args: CEILING },
  async (arena) => {
    const app = await arena.app({ settings: RECOVERY });
    const reader = await arena.session(app);
    // The session that does not read is closed, although no more is sent to it; the one that reads is served as before.
    await fill(arena, app);
    await assertFull(arena, "memory_full");
    await arena.counted(/sessions_closed_total\{cause="memory_full",blame="node"/, 1);
    app.send(send(reader.session, "news"));
    await reader.client.heard("4news");
    assert.ok((await arena.count(/edge_handshakes_total\{outcome="memory_full"/)) > 0);
  },
);

inArena("at the ceiling of memory halves of messages are not collected", { args: CEILING }, async (arena) => {
  const app = await arena.app({ settings: { ...RECOVERY, maxHttpBufferSize: 20 * MB } });
  const { polling } = await arena.polling(app);
  const slow = await arena.session(app);
  await fill(arena, app);
  const whole = textFrame(`4${"y".repeat(10 * MB)}`);
  slow.client.raw(whole.subarray(0, MB));
  await slow.client.closed();
  const posted = await polling.post(`4${"y".repeat(MB)}`);
  assert.equal(posted.status, 503, posted.body);
  assert.equal(JSON.parse(posted.body).error, "memory_full");
  // The session that filled the node, and the client that sends in halves.
  await arena.counted(/sessions_closed_total\{cause="memory_full",blame="node"/, 2);
});

inArena(
  "a client that never reads holds its outbox and no more",
  { args: ["--outbox-bytes-max", "2MiB"] },
  async (arena) => {
    const app = await arena.app();
    const { client, session } = await arena.session(app);
    client.pause();
    const growth = arena.watchMemory();
    const chunk = "w".repeat(100_000);
    for (let number = 0; app.of("Close", session).length === 0; number += 1) {
      assert.ok(number < 1000, "the outbox has an end");
      await app.sendWithin(send(session, chunk));
      await app.ping();
    }
    await arena.counted(/sessions_closed_total\{cause="outbox_full",blame="client"/, 1);
    // The outbox, its part in the stream, and the last batch.
    assert.ok(growth() < 4 * MB, `${growth()} bytes more`);
  },
);

if (!PLAIN)
  test("the start says how many streams are possible, and how to have more", async () => {
    const node = await startNode({ threads: 1 });
    try {
      const said = (pattern) => until(String(pattern), () => pattern.test(node.log.text));
      await said(/this process may hold \d+ streams; for more raise the hard limit of open files/);
      await said(/ceiling of memory/);
      const status = await (await fetch(`${node.adminUrl}/api/v1/status`)).json();
      assert.ok(status.streams_max < status.streams_possible);
    } finally {
      await node.stop();
    }
  });
