// Peers that make the node hold memory: each offers far more than the node may take; the node takes little.
import assert from "node:assert/strict";
import { engineUrl, socketUrl } from "../../testing/engine.mjs";
import { encodeFrame, OPCODE } from "../../testing/frames.mjs";
import { requestText } from "../../testing/http.mjs";
import { RawStream, request } from "../../testing/stream.mjs";
import { send } from "../../testing/trunk_batch.mjs";
import { until } from "../../testing/wait.mjs";
import { upgradeHead } from "../../testing/websocket.mjs";
import { GROWTH_BYTES_MAX, MB, inArena } from "../harness/arena.mjs";

const pings = (count) => Buffer.concat(Array(count).fill(encodeFrame({ opcode: OPCODE.ping })));
const assertBounded = (bytes) => assert.ok(bytes < GROWTH_BYTES_MAX, `${bytes} bytes more`);

inArena("a probe that floods with WebSocket pings neither captures the shard nor stays", {}, async (arena) => {
  const app = await arena.app({ settings: { upgradeTimeout: 1000 } });
  const { polling, sid } = await arena.polling(app);
  const probe = await arena.client({ sid });
  const growth = arena.watchMemory();
  await arena.pour(probe, pings(200_000), 2000 * MB);
  await probe.closed();
  assertBounded(growth());
  await arena.counted(/edge_upgrades_total\{outcome="done"/, 0);
  // The session itself goes on.
  const answer = await polling.post("4hello");
  assert.equal(answer.body, "ok");
});

inArena("a client that pings and never reads is held in little memory", {}, async (arena) => {
  const app = await arena.app();
  const { client } = await arena.session(app);
  const growth = arena.watchMemory();
  client.pause();
  await arena.pour(client, pings(200_000), 60 * MB);
  await arena.rounds(10);
  assertBounded(growth());
});

inArena("a probe that pings and never reads is held in little memory", {}, async (arena) => {
  const app = await arena.app();
  const { sid } = await arena.polling(app);
  const probe = await arena.client({ sid });
  const growth = arena.watchMemory();
  probe.pause();
  await arena.pour(probe, pings(200_000), 60 * MB);
  await arena.rounds(10);
  assertBounded(growth());
});

inArena(
  "small messages for a slow client do not hold the batches that they came in",
  { args: ["--outbox-bytes-max", "32MiB"] },
  async (arena) => {
    const app = await arena.app();
    const slow = await arena.session(app);
    const fast = await arena.session(app);
    slow.client.pause();
    app.send(...Array(2000).fill(send(slow.session, "z".repeat(4000))), send(fast.session, "filled"));
    await fast.client.heard("4filled");
    const growth = arena.watchMemory();
    const big = "q".repeat(500_000);
    for (let number = 0, taken = 0; number < 300; number += 1) {
      // The fast client gets only as much at once as it can take.
      await until("the fast client", () => (taken += fast.client.texts.splice(0).length) > number - 8, { everyMs: 1 });
      await app.sendWithin(send(slow.session, `tiny ${number}`), send(fast.session, big));
    }
    app.send(send(fast.session, "done"));
    await fast.client.heard("4done");
    assertBounded(growth());
    slow.client.resume();
    await slow.client.heard("4tiny 299");
  },
);

inArena(
  "handshakes begun and left, before an app server that does not read",
  { args: ["--admission", "off"] },
  async (arena) => {
    const app = await arena.app({ accepts: false });
    await arena.counted(/^trunkline_trunks$/, 2);
    app.pause();
    const growth = arena.watchMemory();
    // In UTF-8 each of these characters takes twice the room.
    const headers = Object.fromEntries(Array.from({ length: 14 }, (_, number) => [`x-${number}`, "\xe9".repeat(1000)]));
    const head = Buffer.from(requestText("GET", engineUrl(), { headers }), "latin1");
    let refused = 0;
    for (let wave = 0; wave < 30; wave += 1) {
      const visitors = Array.from({ length: 200 }, () => new RawStream(arena.node.port).write(head));
      await until("the requests", () =>
        visitors.every(({ socket, ended }) => ended || socket.bytesWritten === head.length),
      );
      await arena.rounds(3);
      for (const visitor of visitors) {
        refused += visitor.status === 503 ? 1 : 0;
        visitor.destroy();
      }
    }
    await arena.rounds(3);
    assertBounded(growth());
    assert.ok(refused > 0, "some were refused before they left");
    const answer = await request(arena.node.port, "GET", engineUrl());
    assert.equal(answer.status, 503, answer.body);
    assert.equal(JSON.parse(answer.body).error, "handshakes_full");
    assert.equal(app.ended, undefined);
  },
);

inArena(
  "requests that nobody waits for any more make room",
  { args: ["--handshakes-pending-max", "20"] },
  async (arena) => {
    const app = await arena.app();
    for (let number = 0; number < 20; number += 1) {
      const raw = new RawStream(arena.node.port).write(requestText("OPTIONS", "/socket.io/"));
      await until("the request at the app server", () => app.requests.length === number + 1);
      raw.destroy();
    }
    await arena.rounds(10);
    const waiting = request(arena.node.port, "OPTIONS", "/socket.io/?");
    await until("one more request at the app server", () => app.requests.length === 21);
    // Answers for clients that have left come late, and do no harm.
    for (const { requestId } of app.requests) app.respond(requestId, 204);
    assert.equal((await waiting).status, 204);
    await app.ping();
    assert.equal(app.ended, undefined);
  },
);

inArena(
  "requests beyond what may wait, and those never answered, are told the truth",
  { args: ["--handshakes-pending-max", "5"] },
  async (arena) => {
    const app = await arena.app();
    const waiting = Array.from({ length: 5 }, () => request(arena.node.port, "OPTIONS", "/socket.io/?"));
    await until("the requests at the app server", () => app.requests.length === 5);
    const sixth = await request(arena.node.port, "OPTIONS", "/socket.io/?");
    assert.equal(sixth.status, 503);
    assert.equal(JSON.parse(sixth.body).error, "handshakes_full");
    for (const answer of await Promise.all(waiting)) {
      assert.equal(answer.status, 503);
      assert.equal(JSON.parse(answer.body).error, "app_server_silent");
    }
  },
);

inArena(
  "what a stampede took goes back to the system, though all of it stay",
  { args: ["--header-timeout", "120s"] },
  async (arena) => {
    const app = await arena.app({ settings: { pingInterval: 300_000 } });
    const heap = () => arena.count(/memory_heap_bytes/);
    const [residentBefore, heapBefore] = [arena.residentBytes, await heap()];
    const mostHeld = arena.watchMemory();
    const patient = { withinMs: 100_000 };
    // Half a request holds a buffer in the node; the other half replaces it by a small session.
    const head = upgradeHead(socketUrl(), { "x-long": "x".repeat(7_000) });
    const half = head.length / 2;
    const crowd = Array.from({ length: 3_000 }, () => new RawStream(arena.node.port).write(head.slice(0, half)));
    await until("memory for half requests", async () => (await heap()) - heapBefore > crowd.length * half, patient);
    // The app server is in this process, too: it must keep up, or the node refuses some clients.
    for (let first = 0; first < crowd.length; first += 200) {
      const wave = crowd.slice(first, first + 200);
      for (const one of wave) one.write(head.slice(half));
      await until("their sessions", () => wave.every(({ status }) => status === 101), { ...patient, everyMs: 2 });
    }
    // However much the sessions hold, little lies between: the node returns to the system what is more than 32 MiB.
    const beyond = async (growth) => growth - ((await heap()) - heapBefore);
    await until("the memory back", async () => (await beyond(arena.residentBytes - residentBefore)) < 40 * MB, patient);
    assert.ok((await beyond(mostHeld())) > 60 * MB, "there was more to give back than the node may keep");
    await app.ping();
    for (const one of crowd) one.destroy();
  },
);
