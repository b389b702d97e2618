// Sessions that end at a bad moment: with the right reason, at once, reported once, and counted once.
import assert from "node:assert/strict";
import { engineUrl, socketUrl } from "../../testing/engine.mjs";
import { closeFrame, encodeFrame, textFrame } from "../../testing/frames.mjs";
import { requestText } from "../../testing/http.mjs";
import { RawStream, request } from "../../testing/stream.mjs";
import { CloseReason, send } from "../../testing/trunk_batch.mjs";
import { until, within } from "../../testing/wait.mjs";
import { PING_MS, inArena } from "../harness/arena.mjs";

/** A polling session whose probing WebSocket has been answered. */
async function probing(arena, app) {
  const polling = await arena.polling(app);
  const probe = await arena.client({ sid: polling.sid });
  probe.text("2probe");
  await probe.heard("3probe");
  return { ...polling, probe };
}

/** Writes and ends the stream; resolves when both are sent. */
const ended = ({ socket }, bytes = undefined) => new Promise((done) => socket.end(bytes, done));

inArena(
  "a session that its app closes while a probe completes is said to be closed, and no more",
  {},
  async (arena) => {
    const app = await arena.app({ settings: { upgradeTimeout: 2000 } });
    const { session, probe } = await probing(arena, app);
    app.close(session);
    await app.heard("Close", session);
    probe.text("5");
    await probe.closed();
    await arena.rounds(5);
    await app.ping();
    assert.equal(app.of("Upgraded", session).length, 0);
    assert.equal(app.of("Close", session).length, 1);
    assert.equal(app.ended, undefined);
    await arena.counted(/^trunkline_sessions\{transport="polling"/, 0);
    await arena.counted(/^trunkline_sessions\{transport="websocket"/, 1);
  },
);

inArena("an upgrade packet and the end of the stream in one", {}, async (arena) => {
  const app = await arena.app({ settings: { pingInterval: 300_000 } });
  const { session, probe } = await probing(arena, app);
  await arena.atOnce(() => ended(probe, textFrame("5")));
  const { reason } = await app.heard("Close", session);
  assert.equal(reason, CloseReason.clientClosed);
  await arena.counted(/sessions_closed_total\{.*cause="transport_close"/, 1);
});

inArena("the upgrade packet, a message, a close frame and the end of the stream in one", {}, async (arena) => {
  const app = await arena.app({ settings: { pingInterval: 300_000 } });
  const { session, probe } = await probing(arena, app);
  const last = Buffer.concat([textFrame("5"), textFrame("4last words"), closeFrame()]);
  await arena.atOnce(() => ended(probe, last));
  const { reason } = await app.heard("Close", session);
  assert.equal(reason, CloseReason.clientClosed);
  assert.deepEqual(
    app.messages(session).map(({ head }) => head),
    ["last words"],
  );
});

/** Clients of the hub, and the time from the end of the first to the end of the last after `act`. */
async function endsTogether(arena, count, act) {
  const clients = [];
  while (clients.length < count) clients.push(await arena.client());
  const ends = Promise.all(clients.map(({ end }) => end.then(() => performance.now())));
  await act();
  const at = await within("the end of all", ends, 20_000);
  return Math.max(...at) - Math.min(...at);
}

// The rate sets a minimum time: a busy machine only makes it longer.
inArena(
  "the sessions of a killed app server end at a measured pace, and for that reason alone",
  { args: ["--orphan-close-per-second", "20"] },
  async (arena) => {
    const app = await arena.app({ settings: { pingInterval: PING_MS, pingTimeout: PING_MS } });
    const tookMs = await endsTogether(arena, 60, () => app.kill());
    assert.ok(tookMs > 2000, `60 sessions at 20 each second ended in ${tookMs} ms`);
    await arena.counted(/sessions_closed_total\{.*cause="app_server_lost"/, 60);
    await arena.counted(/sessions_closed_total/, 60);
  },
);

inArena("a drain spreads the ends over its time", { args: ["--drain", "3s"], calm: false }, async (arena) => {
  await arena.app();
  const tookMs = await endsTogether(arena, 60, () => arena.node.child.kill("SIGTERM"));
  assert.ok(tookMs > 1500, `a drain of 3 s ended its sessions in ${tookMs} ms`);
});

for (const [what, bytes, code] of [
  ["a message that is far too large", () => textFrame(Buffer.alloc(1_500_000, "4")), 1009],
  [
    "a bad frame with more behind it",
    () => Buffer.concat([encodeFrame({ payload: "2", mask: false }), Buffer.alloc(300_000)]),
    1002,
  ],
  [
    "text that is none with more behind it",
    () => Buffer.concat([textFrame([0x34, 0xff]), Buffer.alloc(300_000)]),
    1007,
  ],
]) {
  inArena(`${what} gets its close frame`, {}, async (arena) => {
    const app = await arena.app();
    for (let number = 0; number < 5; number += 1) {
      const { client, session } = await arena.session(app, { allowHalfOpen: true });
      // The kernel gives more buffer to a stream that has carried much: one read does not empty it.
      for (let sent = 0; sent < 20; sent += 1) client.raw(textFrame(Buffer.alloc(900_000, "4")));
      await until("what is good", () => app.messages(session).length === 20);
      const { bytesWritten } = client.socket;
      await arena.atOnce(() => {
        client.raw(bytes());
        return until("as much as fits", () => client.socket.bytesWritten > bytesWritten);
      });
      await client.closedWith();
      assert.equal(client.closeCode, code);
      client.socket.end(Buffer.alloc(1000));
      await client.closed();
      assert.equal(client.error, undefined, "the stream is not reset under the close frame");
    }
  });
}

inArena("a message that is too large is named so to the app server and in the metrics", {}, async (arena) => {
  const app = await arena.app();
  const { client, session } = await arena.session(app);
  client.raw(textFrame(Buffer.alloc(1_000_001, "4")));
  const { reason } = await app.heard("Close", session);
  assert.equal(reason, CloseReason.messageTooLarge);
  await arena.counted(/sessions_closed_total\{.*cause="too_large"/, 1);
});

inArena("what an app changes of its limits is for the sessions that come after it", {}, async (arena) => {
  const app = await arena.app();
  const post = async ({ polling }) => (await polling.post(large)).status;
  const large = `4${"x".repeat(2000)}`;
  const before = await arena.session(app);
  const polling = await arena.polling(app);
  app.send({ type: "Settings", settings: JSON.stringify({ maxHttpBufferSize: 1000 }) });
  await app.ping();
  before.client.text(large);
  assert.equal(await post(polling), 200);
  await until("both", () => [before, polling].every(({ session }) => app.messages(session).length === 1));
  const after = await arena.session(app);
  after.client.text(large);
  assert.equal(await post(await arena.polling(app)), 413);
  await after.client.closedWith();
  assert.equal(after.client.closeCode, 1009);
});

inArena("a WebSocket session that a second WebSocket takes over is counted once", {}, async (arena) => {
  const app = await arena.app();
  const websockets = /^trunkline_sessions\{transport="websocket"/;
  const { client, session } = await arena.session(app);
  const probe = await arena.client({ sid: client.sid });
  probe.text("2probe");
  await probe.heard("3probe");
  probe.text("5");
  probe.text("4over the second");
  await until("the message", () => app.messages(session).length === 1);
  await until("the first stream's close frame", () => client.closeCode ?? client.ended);
  assert.equal(client.closeCode, 1005, "npm closes it without a code");
  await arena.counted(websockets, 2);
  assert.equal(await arena.count(/^trunkline_sessions\{transport="polling"/), 0);
  app.send(send(session, "back"));
  await probe.heard("4back");
  probe.raw(closeFrame());
  const { reason } = await app.heard("Close", session);
  assert.equal(reason, CloseReason.clientClosed);
  await arena.counted(websockets, 1);
  assert.equal(await arena.count(/^trunkline_sessions\{transport="polling"/), 0);
});

inArena(
  "what a poll is answered with while its connection ends is delivered, or the session ends",
  {},
  async (arena) => {
    const app = await arena.app({ settings: { pingInterval: 300_000 } });
    for (let number = 0; number < 12; number += 1) {
      const { polling, session } = await arena.polling(app);
      const stream = await RawStream.open(arena.node.port, { allowHalfOpen: true });
      stream.write(requestText("GET", polling.path));
      await until("the request", () => stream.unsentBytes === 0);
      await arena.rounds(4);
      await arena.atOnce(async () => {
        // The client ends its half and still reads: it receives what the node sends.
        if (number % 2 === 0) await ended(stream);
        app.send(send(session, "waiting"));
        if (number % 2 === 1) await ended(stream);
      });
      const closed = () => app.of("Close", session)[0];
      await until("the answer or Close", () => stream.text.includes("4waiting") || closed(), { withinMs: 5_000 });
      if (!stream.text.includes("4waiting")) assert.equal(closed().reason, CloseReason.transportError);
      stream.destroy();
    }
  },
);

inArena(
  "a session that its app closes while its stream is full gets everything",
  { args: ["--outbox-bytes-max", "32MiB"] },
  async (arena) => {
    const app = await arena.app({ settings: { pingInterval: 300_000 } });
    const { client, session } = await arena.session(app);
    client.pause();
    const texts = Array.from({ length: 2000 }, (_, number) => `${number} ${"y".repeat(4000)}`);
    app.send(...texts.map((text) => send(session, text)));
    app.close(session);
    await app.heard("Close", session);
    client.resume();
    await until("the close frame", () => client.closeCode ?? client.ended, { withinMs: 10_000 });
    const numbers = client.texts.filter((text) => text.startsWith("4")).map((text) => parseInt(text.slice(1), 10));
    assert.equal(numbers.length, texts.length, "all that was sent before");
    assert.ok(
      numbers.every((number, place) => number === place),
      "in order",
    );
    assert.equal(client.closeCode, 1005);
  },
);

inArena(
  "a slow reader gets everything without another push",
  { args: ["--outbox-bytes-max", "32MiB"] },
  async (arena) => {
    const app = await arena.app({ settings: { pingInterval: 300_000 } });
    const slow = await arena.session(app);
    const other = await arena.session(app);
    for (const [count, bytes] of [
      [2000, 4000],
      [8000, 900],
    ]) {
      slow.client.pause();
      slow.client.texts.length = 0;
      app.send(...Array.from({ length: count }, (_, number) => send(slow.session, `${number} ${"y".repeat(bytes)}`)));
      app.send(send(other.session, `queued ${count}`));
      await other.client.heard(`4queued ${count}`);
      slow.client.resume();
      await until("all of it", () => slow.client.texts.length === count);
      assert.ok(
        slow.client.texts.every((text, place) => parseInt(text.slice(1), 10) === place),
        "in order",
      );
    }
  },
);

inArena("a node that stops says so to its app servers", { args: ["--drain", "0s"], calm: false }, async (arena) => {
  const apps = [];
  for (let number = 0; number < 8; number += 1) {
    apps.push(await arena.app());
    await arena.client();
  }
  arena.node.child.kill("SIGTERM");
  await until("the end of the trunks", () => apps.every(({ ended }) => ended));
  assert.deepEqual(
    apps.map(({ ended }) => ended.code),
    Array(8).fill(1001),
  );
});

inArena("a drain is even, whatever stands in front", { args: ["--drain", "6s"], calm: false }, async (arena) => {
  const app = await arena.app();
  // These sessions are never polled: they stay closing until the node stops.
  for (let number = 0; number < 20; number += 1) await arena.polling(app);
  const closedAt = [];
  for (let number = 0; number < 100; number += 1) {
    const client = await arena.client();
    client.end.then(() => closedAt.push(Date.now()));
  }
  const from = Date.now();
  arena.node.child.kill("SIGTERM");
  await until("the end of all", () => closedAt.length === 100);
  await until("the node's end", () => arena.node.child.exitCode !== null);
  const whole = Date.now() - from;
  const share = (start, end) => closedAt.filter((at) => at - from >= start * whole && at - from < end * whole).length;
  for (const [start, end] of [
    [0, 0.3],
    [0.3, 0.6],
    [0.6, 1.01],
  ]) {
    assert.ok(share(start, end) >= 10, `${share(start, end)} of 100 closed between ${start} and ${end} of the drain`);
  }
});

inArena("ids that the app makes may look like the node's own", {}, async (arena) => {
  const app = await arena.app({ accepts: false });
  const ids = ["A".repeat(28), "_-".repeat(14), "short", "with.dots~and more"];
  for (const [place, id] of ids.entries()) {
    const opening = request(arena.node.port, "GET", engineUrl());
    await until("Open", () => app.opens.length === place + 1);
    const { session } = app.opens[place];
    app.accept(session, id);
    assert.equal(JSON.parse((await opening).body.slice(1)).sid, id);
    const path = engineUrl({ sid: id });
    const posted = await request(arena.node.port, "POST", path, { body: "4hello" });
    assert.equal(posted.body, "ok", id);
    await until("the message", () => app.messages(session).length === 1);
    app.send(send(session, "welcome"));
    assert.equal((await request(arena.node.port, "GET", path)).body, "4welcome");
  }
});

inArena("a session of one hub is unknown in another", {}, async (arena) => {
  const app = await arena.app();
  const { polling, sid, session } = await arena.polling(app);
  const path = "/clients/socketio/hubs/calm/";
  const asked = [
    request(arena.node.port, "GET", engineUrl({ sid }, path)),
    request(arena.node.port, "POST", engineUrl({ sid }, path), { body: "4hello" }),
  ];
  for (const { status } of await Promise.all(asked)) assert.equal(status, 400);
  const stream = arena.stream(socketUrl({ sid }, path));
  await until("an answer", () => stream.status);
  assert.equal(stream.status, 400);
  assert.deepEqual(
    arena.calm.requests.map(({ code }) => code),
    [1, 1, 1],
    "Session ID unknown",
  );
  assert.equal(app.messages(session).length, 0);
  assert.equal((await polling.post("4hello")).body, "ok");
});
