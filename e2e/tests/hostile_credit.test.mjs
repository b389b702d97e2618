// An app server that gives little credit or none: the node never sends more than the credit allows, holds little, and
// loses nothing (spec/trunk.md, section 5).
import assert from "node:assert/strict";
import { engineUrl, SEPARATOR } from "../../testing/engine.mjs";
import { compressedFrame, textFrame } from "../../testing/frames.mjs";
import { requestText } from "../../testing/http.mjs";
import { RawStream, request } from "../../testing/stream.mjs";
import { until, within } from "../../testing/wait.mjs";
import { GROWTH_BYTES_MAX, PING_MS, inArena } from "../harness/arena.mjs";

const numbered = (number, bytes = 50) => `${String(number).padStart(6, "0")}${"x".repeat(bytes - 6)}`;
const numbers = (count) => Array.from({ length: count }, (_, number) => number);

function assertInOrder(notes, count) {
  assert.deepEqual(
    notes.map(({ head }) => Number(head.slice(0, 6))),
    numbers(count),
  );
}

/**
 * Gives credit in small portions: each must let something through, and the credit may be overdrawn only once per
 * portion.
 */
async function feed(arena, app, session, count) {
  await until("the credit is used up", () => app.granted <= 0);
  await arena.rounds(20);
  assert.equal(app.violations, 0, "data frames came without credit");
  for (let portion = 0; portion < 10; portion += 1) {
    const before = app.messages(session).length;
    app.grant(1 - app.granted);
    await until("the next message", () => app.messages(session).length > before);
    await arena.rounds(2);
    assert.equal(app.messages(session).length, before + 1, "one byte of credit lets one message through");
  }
  app.grant(1 << 24);
  await until("the rest", () => app.messages(session).length >= count);
  assertInOrder(app.messages(session), count);
  assert.equal(app.violations, 0);
  assert.equal(app.ended, undefined);
}

inArena("many messages in one write wait for credit", {}, async (arena) => {
  const app = await arena.app({ credit: 100, returns: false });
  const { client, session } = await arena.session(app);
  client.raw(Buffer.concat(numbers(200).map((number) => textFrame(`4${numbered(number)}`))));
  await feed(arena, app, session, 200);
});

inArena("many messages in one POST wait for credit", {}, async (arena) => {
  const app = await arena.app({ credit: 100, returns: false });
  const { polling, session } = await arena.polling(app);
  const posted = polling.post(
    numbers(200)
      .map((number) => `4${numbered(number)}`)
      .join(SEPARATOR),
  );
  await feed(arena, app, session, 200);
  assert.equal((await posted).body, "ok");
});

inArena("many messages behind an upgrade packet wait for credit", {}, async (arena) => {
  const app = await arena.app({ credit: 100, returns: false });
  const { sid, session } = await arena.polling(app);
  const probe = await arena.client({ sid });
  probe.text("2probe");
  await probe.heard("3probe");
  const messages = numbers(200).map((number) => textFrame(`4${numbered(number)}`));
  probe.raw(Buffer.concat([textFrame("5"), ...messages]));
  await feed(arena, app, session, 200);
});

inArena("POSTs wait for credit and go on with it, in order", {}, async (arena) => {
  const app = await arena.app({ credit: 1000, returns: false });
  const { polling, session } = await arena.polling(app);
  const growth = arena.watchMemory();
  let answered = 0;
  const posting = (async () => {
    for (; answered < 120; answered += 1) {
      const answer = await polling.post(`4${numbered(answered, 990_000)}`);
      assert.equal(answer.body, "ok");
    }
  })();
  await until("the credit is used up", () => app.granted <= 0);
  await Promise.race([arena.rounds(60), posting]);
  assert.equal(app.violations, 0, "data frames came without credit");
  assert.ok(answered <= 2, `${answered} POSTs were taken`);
  assert.ok(growth() < GROWTH_BYTES_MAX, `${growth()} bytes`);
  app.grant(1 << 28);
  await within("the answers", posting);
  await until("the messages", () => app.messages(session).length === 120);
  assertInOrder(app.messages(session), 120);
  assert.equal(app.violations, 0);
});

inArena("POSTs of many sessions wait for credit in little memory", {}, async (arena) => {
  const sessions = 120;
  const app = await arena.app({ credit: 1000, returns: false });
  const pollings = [];
  for (const _ of numbers(sessions)) pollings.push((await arena.polling(app)).polling);
  const body = `4${numbered(0, 990_000)}`;
  assert.equal((await pollings[0].post(body)).body, "ok");
  await until("the credit is used up", () => app.granted <= 0);
  const growth = arena.watchMemory();
  const raws = pollings.map(({ path }) => new RawStream(arena.node.port).write(requestText("POST", path, { body })));
  await arena.rounds(100);
  assert.equal(app.violations, 0, "data frames came without credit");
  assert.ok(growth() < GROWTH_BYTES_MAX, `${growth()} bytes`);
  app.grant(1 << 28);
  await until("the answers", () => raws.every(({ status }) => status === 200));
  await until("the messages", () => app.of("Message").length === sessions + 1);
  assert.equal(app.violations, 0);
  for (const raw of raws) raw.destroy();
});

inArena("a POST that comes before all of the last one is decoded comes behind it", {}, async (arena) => {
  const app = await arena.app();
  const { polling, session } = await arena.polling(app);
  const count = 60_000;
  const first = polling.post(
    numbers(count)
      .map((number) => `4${numbered(number, 6)}`)
      .join(SEPARATOR),
  );
  await until("the first messages", () => app.messages(session).length > 0);
  const second = polling.post(`4${numbered(count, 6)}`);
  assert.equal((await first).body, "ok");
  assert.equal((await second).body, "ok");
  await until("all messages", () => app.messages(session).length > count);
  assertInOrder(app.messages(session), count + 1);
});

/** The threshold is so high that the node's own messages stay uncompressed and readable. */
const COMPRESSED = { perMessageDeflate: { threshold: 1_000_000 } };
const DEFLATE = { "sec-websocket-extensions": "permessage-deflate" };

for (const [what, encode, threads] of [
  ["plain", (text) => textFrame(text), 1],
  ["compressed", compressedFrame, 1],
  ["two threads", (text) => textFrame(text), 2],
]) {
  inArena(`whoever has much to say does not keep others from being heard (${what})`, { threads }, async (arena) => {
    const app = await arena.app({ credit: 100, returns: false, settings: COMPRESSED });
    const loud = [];
    for (const _ of numbers(3)) loud.push(await arena.session(app, { headers: DEFLATE }));
    const { client, session } = await arena.session(app);
    for (const one of loud)
      one.client.raw(Buffer.concat(numbers(100).map((number) => encode(`4${numbered(number, 200)}`))));
    await until("the credit is used up", () => app.granted <= 0);
    client.text("4may I?");
    await arena.rounds(5);
    const heard = () => [...loud, { session }].map((one) => app.messages(one.session).length);
    for (let portion = 0; portion < 12 && app.messages(session).length === 0; portion += 1) {
      const before = heard().join();
      app.grant(1 - app.granted);
      await until("the next message", () => heard().join() !== before);
    }
    assert.equal(app.messages(session).length, 1, `heard so far: ${heard()}`);
    app.grant(1 << 24);
    for (const one of loud) {
      await until("the rest", () => app.messages(one.session).length === 100);
      assertInOrder(app.messages(one.session), 100);
    }
    assert.equal(app.violations, 0);
  });
}

inArena("what waits for credit waits as it came: compressed", {}, async (arena) => {
  const app = await arena.app({ credit: 100, returns: false, settings: COMPRESSED });
  const bombs = Buffer.concat(numbers(50).map((number) => compressedFrame(`4${numbered(number, 990_000)}`)));
  const sessions = [];
  for (const _ of numbers(6)) sessions.push(await arena.session(app, { headers: DEFLATE }));
  const growth = arena.watchMemory();
  for (const { client } of sessions) client.raw(bombs);
  await until("the credit is used up", () => app.granted <= 0);
  for (let portion = 0; portion < 18; portion += 1) {
    const before = app.of("Message").length;
    app.grant(1 - app.granted);
    await until("the next message", () => app.of("Message").length > before);
  }
  await arena.rounds(5);
  assert.ok(growth() < GROWTH_BYTES_MAX, `${growth()} bytes`);
  app.grant(1 << 30);
  for (const { session } of sessions) {
    await until("the rest", () => app.messages(session).length === 50);
    assertInOrder(app.messages(session), 50);
  }
  assert.equal(app.violations, 0);
});

/** The app server has no credit left; the test then takes longer than its clients' heartbeat. */
async function stalled(arena) {
  const app = await arena.app({
    credit: 50,
    returns: false,
    settings: { pingInterval: PING_MS, pingTimeout: PING_MS },
  });
  const first = await arena.session(app);
  first.client.text(`4${numbered(0, 100)}`);
  await until("the credit is used up", () => app.granted <= 0);
  return { app, ...first };
}

inArena("WebSocket clients of a stalled app server are not closed for want of pongs", {}, async (arena) => {
  const { app, client, session } = await stalled(arena);
  // This message is not read now, so the pongs wait after it.
  client.text(`4${numbered(1, 100)}`);
  await arena.heartbeats(8);
  assert.equal(await arena.count(/sessions_closed_total/), 0);
  assert.equal(client.closeCode, undefined);
  app.grant(1 << 20);
  client.text(`4${numbered(2)}`);
  await until("what had waited", () => app.messages(session).length === 3);
  assertInOrder(app.messages(session), 3);
  // From here on the client's heartbeat counts again.
  client.answersPings = false;
  await arena.counted(/sessions_closed_total\{.*ping_timeout/, 1);
});

inArena("polling clients of a stalled app server are not closed for want of pongs", {}, async (arena) => {
  const { app, client } = await stalled(arena);
  const { polling, sid, session } = await arena.polling(app);
  const polls = pollUntilRefused(arena.node, sid);
  // A client may have one POST at a time: while this one waits, the client cannot post a pong.
  const waiting = polling.post(`4${numbered(0)}`);
  await Promise.race([arena.heartbeats(8), polls]);
  assert.equal(client.closeCode, undefined);
  assert.equal(await arena.count(/sessions_closed_total/), 0, "the session that polls");
  app.grant(1 << 20);
  assert.equal((await waiting).body, "ok");
  assert.equal((await polling.post(`3${SEPARATOR}4${numbered(1)}`)).body, "ok");
  await until("what was posted", () => app.messages(session).length === 2);
  assertInOrder(app.messages(session), 2);
});

/** Polls as a client does, until the session has ended. */
async function pollUntilRefused(node, sid) {
  // At the end of the test the node stops in the middle of a poll.
  const answer = () => request(node.port, "GET", engineUrl({ sid })).catch(() => ({ status: 0 }));
  for (let status = 200; status === 200; ) ({ status } = await answer());
}
