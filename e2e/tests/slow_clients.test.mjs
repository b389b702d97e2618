// Clients that take less than their app sends: those that read receive everything, those that do not are closed, and
// the memory they hold is bounded.
import assert from "node:assert/strict";
import { engineUrl, PollingSession, SEPARATOR } from "../../testing/engine.mjs";
import { encodeFrame, OPCODE } from "../../testing/frames.mjs";
import { requestHead } from "../../testing/http.mjs";
import { RawStream, request } from "../../testing/stream.mjs";
import { CloseReason, send } from "../../testing/trunk_batch.mjs";
import { until } from "../../testing/wait.mjs";
import { GROWTH_BYTES_MAX, MB, PING_MS, inArena } from "../harness/arena.mjs";

const LINES = 40_000;
const line = (number) => `${number} ${"y".repeat(1_000)}`;
const LONG = { pingInterval: 300_000 };

/** Sends as in one turn of an app's event loop: batch after batch, as fast as the credit allows. */
async function sendLines(app, frameOf) {
  for (let from = 0; from < LINES; from += 2_000) {
    await app.sendWithin(...Array.from({ length: 2_000 }, (_, place) => frameOf(line(from + place))));
  }
}

function assertInOrder(texts) {
  assert.equal(texts.length, LINES);
  assert.ok(
    texts.every((text, place) => parseInt(text.slice(1), 10) === place),
    "in order",
  );
}

const lines = (texts) => texts.filter((text) => /^4\d/.test(text));

inArena("a client that reads gets all that its app sends in one turn", {}, async (arena) => {
  const app = await arena.app({ settings: LONG });
  const { client, session } = await arena.session(app);
  await sendLines(app, (text) => send(session, text));
  await until("all of it", () => client.ended || lines(client.texts).length === LINES);
  assertInOrder(lines(client.texts));
});

inArena("a client that reads gets all that is broadcast in one turn", {}, async (arena) => {
  const app = await arena.app({ settings: LONG });
  const { client, session } = await arena.session(app);
  app.send({ type: "Namespace", nsp: 0, name: "/" }, { type: "Attach", session, nsp: 0, socket: "one", rooms: [] });
  const broadcast = (text) => ({
    type: "Broadcast",
    nsp: 0,
    flags: 0,
    rooms: [],
    except: [],
    parts: [{ kind: 0, data: Buffer.from(text) }],
  });
  for (let from = 0; from < LINES; from += 500) {
    // The test counts the credit of broadcasts by itself.
    await until("credit", () => app.room > 0, { everyMs: 1 });
    const frames = Array.from({ length: 500 }, (_, place) => broadcast(line(from + place)));
    app.room -= 500 * 1_015;
    app.send(...frames);
  }
  await until("all of it", () => client.ended || lines(client.texts).length === LINES);
  assertInOrder(lines(client.texts));
});

inArena("a client that polls gets all that its app sends in one turn", {}, async (arena) => {
  const app = await arena.app({ settings: LONG });
  const { sid, session } = await arena.polling(app);
  const texts = [];
  const polling = (async () => {
    while (texts.length < LINES) {
      const answer = await request(arena.node.port, "GET", engineUrl({ sid }));
      assert.equal(answer.status, 200, answer.body);
      texts.push(...answer.body.split(SEPARATOR));
    }
  })();
  await sendLines(app, (text) => send(session, text));
  await polling;
  assertInOrder(texts);
});

inArena(
  "a client that reads slowly gets everything, and its neighbours are served",
  { args: ["--outbox-stall", "5s"] },
  async (arena) => {
    const app = await arena.app({ settings: LONG });
    const { client, session } = await arena.session(app);
    client.pause();
    // The client looks at its stream at intervals.
    const reading = setInterval(() => {
      client.resume();
      setImmediate(() => client.pause());
    }, 2);
    try {
      await sendLines(app, (text) => send(session, text));
      await until("all of it", () => client.ended || lines(client.texts).length === LINES, { withinMs: 60_000 });
    } finally {
      clearInterval(reading);
    }
    assertInOrder(lines(client.texts));
  },
);

inArena(
  "a client that takes nothing is closed, with the cause for the app and in the log",
  { args: ["--outbox-bytes-max", "1MiB", "--outbox-stall", "1s"] },
  async (arena) => {
    const app = await arena.app({ settings: LONG });
    const { client, session } = await arena.session(app);
    client.pause();
    // Its stream takes some MB; 9 MB more wait.
    for (let number = 0; number < 20; number += 1) await app.sendWithin(send(session, "x".repeat(MB)));
    const { reason, description } = await app.heard("Close", session);
    assert.equal(reason, CloseReason.outboxFull);
    assert.equal(description, "outbox_full");
    await until("a line", () =>
      /WARN.*sessions closed.*closed=1.*outbox_full|sessions closed.*outbox_full/.test(arena.node.log.text),
    );
    await arena.counted(/sessions_closed_total\{.*cause="outbox_full"/, 1);
  },
);

inArena(
  "a client that takes nothing holds the limit and little more, however long it may stall",
  { args: ["--outbox-bytes-max", "4MiB", "--outbox-stall", "600s"] },
  async (arena) => {
    const app = await arena.app({ settings: LONG });
    const { client, session } = await arena.session(app);
    const growth = arena.watchMemory();
    client.pause();
    const closed = () => app.of("Close", session)[0];
    await until(
      "Close",
      async () => {
        if (!closed()) await app.sendWithin(...Array(10).fill(send(session, "x".repeat(100_000))));
        return closed();
      },
      { everyMs: 100 },
    );
    assert.equal(closed().reason, CloseReason.outboxFull);
    assert.ok(growth() < GROWTH_BYTES_MAX, `${growth()} bytes more`);
  },
);

inArena(
  "a crowd that takes nothing does not use up the memory",
  { args: ["--outbox-stall", "600s", "--memory-bytes-max", "160MiB"] },
  async (arena) => {
    const app = await arena.app({ settings: LONG });
    const crowd = [];
    while (crowd.length < 60) {
      const one = await arena.session(app);
      one.client.pause();
      crowd.push(one);
    }
    const growth = arena.watchMemory();
    // 600 MB in which no two sessions share bytes.
    for (let round = 0; round < 10; round += 1) {
      for (const { session } of crowd) {
        if (app.of("Close", session).length === 0) await app.sendWithin(send(session, "z".repeat(MB)));
      }
    }
    await until("their end", async () => (await arena.count(/sessions_closed_total\{.*cause="memory_full"/)) > 0);
    await arena.rounds(3);
    assert.ok(growth() < 260 * MB, `${growth()} bytes more`);
    assert.match(arena.node.log.text, /sessions closed.*memory_full|memory_full.*sessions closed/);
    await app.ping();
    assert.equal(app.ended, undefined);
  },
);

inArena("last words reach a client that is still sending", {}, async (arena) => {
  const app = await arena.app({ settings: LONG });
  for (let number = 0; number < 10; number += 1) {
    const { client, session } = await arena.session(app, { allowHalfOpen: true });
    client.pause();
    let uploading = true;
    const upload = (async () => {
      const chunk = encodeFrame({ opcode: OPCODE.binary, payload: Buffer.alloc(200_000) });
      while (uploading && !client.ended) {
        await new Promise((done) => client.socket.write(chunk, done) || setTimeout(done, 20));
      }
    })();
    await until("an upload", () => app.messages(session).length > 5);
    app.send(send(session, "w".repeat(3 * MB)), send(session, "last"));
    app.close(session);
    const before = client.socket.bytesWritten;
    // It keeps sending for a while before it reads.
    await until("as much again", () => client.ended || client.socket.bytesWritten > before + 12 * MB);
    client.resume();
    await client.closedWith();
    assert.equal(client.closeCode, 1005, `the stream was reset: ${client.error}`);
    assert.ok(client.texts.includes("4last"));
    uploading = false;
    client.stream.finish();
    await upload;
    assert.equal(client.error, undefined);
  }
});

inArena(
  "an answer that ends a connection reaches a client that is still sending",
  { args: ["--header-bytes-max", "16KiB"] },
  async (arena) => {
    for (const [what, head, status] of [
      ["a head that is too long", requestHead("GET", "/", { "x-long": "x".repeat(40_000) }).trimEnd(), 431],
      ["a request that is none", "NONSENSE\r\n\r\n", 400],
      [
        "an upgrade that is refused",
        requestHead("GET", "/trunk/v1", { connection: "close", "content-length": 9_000_000 }),
        400,
      ],
    ]) {
      for (let number = 0; number < 5; number += 1) {
        const raw = new RawStream(arena.node.port);
        raw.write(head);
        const more = Buffer.alloc(400_000, "y");
        raw.write(more);
        await until(`an answer to ${what}`, () => raw.status || raw.ended);
        // Data after the answer does no harm either.
        raw.write(more);
        await raw.closed();
        assert.equal(raw.status, status, `${what}: ${raw.error}`);
        assert.equal(raw.error, undefined, what);
      }
    }
  },
);

inArena("a poll after the ping's time is over is refused, however the node's ticks fall", {}, async (arena) => {
  await arena.app({ settings: { pingInterval: PING_MS, pingTimeout: 200 } });
  const late = async (number) => {
    await new Promise((done) => setTimeout(done, number * 13));
    const session = await PollingSession.open(arena.node.port);
    // The node has counted from before the answer came.
    const over = performance.now() + PING_MS + 200 + 1;
    await new Promise((done) => setTimeout(done, PING_MS + 180));
    while (performance.now() < over) await new Promise((done) => setTimeout(done, 1));
    return session.get();
  };
  const answers = await Promise.all(Array.from({ length: 20 }, (_, number) => late(number)));
  assert.deepEqual(
    answers.map(({ status }) => status),
    answers.map(() => 400),
  );
});
