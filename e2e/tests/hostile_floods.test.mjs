// Small input that causes much work: payloads of tiny packets, messages that inflate to a thousand times their length,
// answers that take long to compress. Other clients must be served meanwhile.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { constants, inflateRawSync } from "node:zlib";
import { engineUrl, SEPARATOR } from "../../testing/engine.mjs";
import { compressedFrame, encodeFrame, OPCODE } from "../../testing/frames.mjs";
import { request } from "../../testing/stream.mjs";
import { send, SendFlag } from "../../testing/trunk_batch.mjs";
import { until } from "../../testing/wait.mjs";
import { MB, inArena } from "../harness/arena.mjs";

const OFFER = { "sec-websocket-extensions": "permessage-deflate; client_no_context_takeover" };
const DEFLATE = { perMessageDeflate: { threshold: 1024 } };

const FLUSH_TAIL = Buffer.from([0, 0, 0xff, 0xff]);
/** Inflates a message that permessage-deflate compressed, without earlier messages. */
const inflated = (data) =>
  inflateRawSync(Buffer.concat([data, FLUSH_TAIL]), { finishFlush: constants.Z_SYNC_FLUSH }).toString();

const heapBytes = (arena) => arena.count(/memory_heap_bytes/);

inArena("a payload of very many packets is kept as it came until its app server takes them", {}, async (arena) => {
  const app = await arena.app({ credit: 1000, returns: false });
  const { polling, session } = await arena.polling(app);
  const before = await heapBytes(arena);
  const count = 60_000;
  const body = Array.from({ length: count }, (_, number) => `4${number % 10}`).join(SEPARATOR);
  const posted = polling.post(body);
  await until("the end of the credit", () => app.granted <= 0);
  await arena.rounds(3);
  const held = (await heapBytes(arena)) - before;
  assert.ok(held < 2 * MB, `${held} bytes for a body of ${body.length}`);
  app.grant(1 << 22);
  assert.equal((await posted).body, "ok");
  await until("every message", () => app.messages(session).length === count);
  assert.ok(
    app.messages(session).every(({ head }, number) => head === String(number % 10)),
    "in order",
  );
  assert.equal(app.violations, 0);
});

inArena("a payload of more packets than Socket.IO could send is refused, and counted", {}, async (arena) => {
  const app = await arena.app();
  const { polling, session } = await arena.polling(app);
  const posted = await polling.post(Array(200_000).fill("3").join(SEPARATOR));
  assert.equal(posted.status, 413);
  await app.heard("Close", session);
  await arena.counted(/edge_misbehaviour_total\{cause="packets_too_many"/, 1);
});

inArena("the app closes a session in the middle of its payload: the post is well", {}, async (arena) => {
  const app = await arena.app({ credit: 1000, returns: false });
  const { polling, session } = await arena.polling(app);
  const posted = polling.post(Array(50_000).fill("4x").join(SEPARATOR));
  await until("the end of the credit", () => app.granted <= 0);
  app.close(session);
  assert.deepEqual([(await posted).status, (await posted).body], [200, "ok"]);
});

inArena("messages that inflate to a thousand times their length hold nobody up", {}, async (arena) => {
  const app = await arena.app({ settings: DEFLATE });
  const crowd = [];
  for (let number = 0; number < 4; number += 1) {
    const { client, session } = await arena.session(app, { headers: OFFER });
    crowd.push({ client, session });
  }
  const pong = compressedFrame(`3${"p".repeat(990_000)}`);
  assert.ok(pong.length < 2_000);
  const before = arena.neighbour.rounds;
  await arena.atOnce(async () => {
    for (const { client } of crowd) client.raw(Buffer.concat([...Array(60).fill(pong), compressedFrame("4done")]));
  });
  await until("what follows", () =>
    crowd.every(({ session }) => app.messages(session).some(({ head }) => head === "done")),
  );
  const rounds = arena.neighbour.rounds - before;
  assert.ok(rounds > 10, `the neighbour was served ${rounds} times meanwhile`);
  assert.ok((await arena.count(/edge_idle_total\{kind="pong"/)) >= 240);
  assert.ok((await arena.count(/messages_inflated_bytes_total/)) > 200 * MB);
});

inArena("messages that are compressed in parts are whole, and keep their order", {}, async (arena) => {
  const app = await arena.app({ settings: DEFLATE });
  const { client, session } = await arena.session(app, { headers: OFFER });
  const lines = Array.from({ length: 100_000 }, () => randomBytes(8).toString("hex"));
  const heard = [];
  client.onCompressed = (data) => heard.push(inflated(data));
  client.onText = (text) => heard.push(text);
  const texts = [lines.join("\n"), "short", lines.reverse().join("\n")];
  app.send(...texts.map((text) => send(session, text, SendFlag.compress)));
  await until("all messages", () => heard.length === texts.length);
  assert.ok(heard.every((text, number) => text === `4${texts[number]}`));
});

inArena("a stream that is not the session's yet inflates nothing", {}, async (arena) => {
  const app = await arena.app({ settings: DEFLATE });
  const { polling, sid } = await arena.polling(app);
  const probe = await arena.client({ sid, headers: OFFER });
  probe.raw(Buffer.concat(Array(30).fill(compressedFrame(`4${"p".repeat(990_000)}`))));
  await probe.closed();
  assert.equal(await arena.count(/messages_inflated_bytes_total/), 0);
  assert.equal((await polling.post("4still")).body, "ok");
});

inArena("what brings no message is counted by kind", {}, async (arena) => {
  const app = await arena.app({ refuses: true });
  const { client, session } = await arena.session(app);
  const { polling } = await arena.polling(app);
  const [ping, pong] = [{ opcode: OPCODE.ping }, { opcode: OPCODE.pong }];
  const first = { fin: false };
  const part = { opcode: OPCODE.continuation, fin: false };
  const last = { opcode: OPCODE.continuation, payload: "4x" };
  client.raw(Buffer.concat([ping, pong, pong, first, part, part, part, last].map(encodeFrame)));
  client.text("6");
  client.text("3and more");
  await app.heard("Message", session);
  await polling.post(["3", "6", "6"].join(SEPARATOR));
  await request(arena.node.port, "OPTIONS", engineUrl());
  for (const [kind, count] of [
    ["websocket_ping", 1],
    ["websocket_pong", 2],
    ["empty_fragment", 4],
    ["noop", 3],
    ["preflight", 1],
  ]) {
    await arena.counted(new RegExp(`edge_idle_total\\{kind="${kind}"`), count);
  }
  // The neighbour answers pings, too.
  await arena.counted(/edge_idle_total\{kind="pong"/, (count) => count >= 2);
});

inArena("an answer that takes long to compress is whole, compressed or not", {}, async (arena) => {
  const app = await arena.app();
  const { sid, session } = await arena.polling(app);
  const text = Array.from({ length: 100_000 }, (_, number) => `${number} ${randomBytes(4).toString("hex")}`).join("\n");
  const answer = fetch(`${arena.node.url}${engineUrl({ sid })}`, { headers: { "accept-encoding": "gzip" } });
  const part = send(session, text, SendFlag.compress);
  app.send(part, part, part, part);
  const got = await answer;
  // On a very busy machine an answer is sent uncompressed.
  const plain = await arena.count(/edge_answers_uncompressed_total/);
  assert.equal(got.headers.get("content-encoding"), plain === 0 ? "gzip" : null);
  assert.equal(await got.text(), Array(4).fill(`4${text}`).join(SEPARATOR));
});
