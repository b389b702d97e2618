// Much in little: payloads of tiny packets, messages that inflate to a thousand times their length, answers that take
// long to compress. Others are served meanwhile.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { SendFlag, send } from "../harness/fake_app.mjs";
import { MB, POLL, inArena } from "../harness/arena.mjs";
import { until } from "../harness/until.mjs";
import { post, request } from "../harness/wire.mjs";

const OFFER = { "Sec-WebSocket-Extensions": "permessage-deflate; client_no_context_takeover" };
const DEFLATE = { perMessageDeflate: { threshold: 1024 } };

/** A compressed text message, masked with a key of zeros. */
function deflated(text) {
  const data = deflateRawSync(text, { finishFlush: 2 }).subarray(0, -4);
  const head = Buffer.alloc(data.length > 125 ? 8 : 6);
  head[0] = 0xc1;
  head[1] = 0x80 | (data.length > 125 ? 126 : data.length);
  if (data.length > 125) head.writeUInt16BE(data.length, 2);
  return Buffer.concat([head, data]);
}

const heapBytes = (arena) => arena.count(/memory_heap_bytes/);

inArena("a payload of very many packets is kept as it came until its app server takes them", {}, async (arena) => {
  const app = await arena.app({ credit: 1000, returns: false });
  const { sid, session } = await arena.polling(app);
  const before = await heapBytes(arena);
  const count = 60_000;
  const body = Array.from({ length: count }, (_, number) => `4${number % 10}`).join("\u001e");
  const posted = post(arena.node, sid, body);
  await until("the end of the credit", () => app.granted <= 0);
  await arena.rounds(3);
  const held = (await heapBytes(arena)) - before;
  assert.ok(held < 2 * MB, `${held} bytes for a body of ${body.length}`);
  app.grant(1 << 22);
  assert.equal((await posted).body, "ok");
  await until("every message", () => app.messages(session).length === count);
  assert.ok(app.messages(session).every(({ head }, number) => head === String(number % 10)), "in order");
  assert.equal(app.violations, 0);
});

inArena("a payload of more packets than Socket.IO could send is refused, and counted", {}, async (arena) => {
  const app = await arena.app();
  const { sid, session } = await arena.polling(app);
  const posted = await post(arena.node, sid, Array(200_000).fill("3").join("\u001e"));
  assert.equal(posted.status, 413);
  await app.heard("Close", session);
  await arena.counted(/edge_misbehaviour_total\{cause="packets_too_many"/, 1);
});

inArena("the app closes a session in the middle of its payload: the post is well", {}, async (arena) => {
  const app = await arena.app({ credit: 1000, returns: false });
  const { sid, session } = await arena.polling(app);
  const posted = post(arena.node, sid, Array(50_000).fill("4x").join("\u001e"));
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
  const pong = deflated(`3${"p".repeat(990_000)}`);
  assert.ok(pong.length < 2_000);
  const before = arena.neighbour.rounds;
  await arena.atOnce(async () => {
    for (const { client } of crowd) client.raw(Buffer.concat([...Array(60).fill(pong), deflated("4done")]));
  });
  await until("what follows", () => crowd.every(({ session }) => app.messages(session).some(({ head }) => head === "done")));
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
  client.onCompressed = (data) => heard.push(inflateRawSync(Buffer.concat([data, Buffer.from([0, 0, 0xff, 0xff])]), { finishFlush: 2 }).toString());
  client.texts = { push: (text) => heard.push(text) };
  const texts = [lines.join("\n"), "short", lines.reverse().join("\n")];
  app.send(...texts.map((text) => send(session, text, SendFlag.compress)));
  await until("all messages", () => heard.length === texts.length);
  assert.ok(heard.every((text, number) => text === `4${texts[number]}`));
});

inArena("a stream that is not the session's yet inflates nothing", {}, async (arena) => {
  const app = await arena.app({ settings: DEFLATE });
  const { sid } = await arena.polling(app);
  const probe = await arena.client({ sid, headers: OFFER });
  probe.raw(Buffer.concat(Array(30).fill(deflated(`4${"p".repeat(990_000)}`))));
  await probe.closed();
  assert.equal(await arena.count(/messages_inflated_bytes_total/), 0);
  assert.equal((await post(arena.node, sid, "4still")).body, "ok");
});

inArena("what brings no message is counted by kind", {}, async (arena) => {
  const app = await arena.app({ refuses: true });
  const { client, session } = await arena.session(app);
  const { sid } = await arena.polling(app);
  const part = Buffer.from([0x01, 0x80, 0, 0, 0, 0]);
  const empty = Buffer.from([0x00, 0x80, 0, 0, 0, 0]);
  const last = Buffer.from([0x80, 0x82, 0, 0, 0, 0, 0x34, 0x78]);
  const control = (opcode) => Buffer.from([0x80 | opcode, 0x80, 0, 0, 0, 0]);
  client.raw(Buffer.concat([control(9), control(10), control(10), part, empty, empty, empty, last]));
  client.text("6");
  client.text("3and more");
  await app.heard("Message", session);
  await post(arena.node, sid, "3\u001e6\u001e6");
  await request(arena.node, POLL, { method: "OPTIONS" });
  for (const [kind, count] of [["websocket_ping", 1], ["websocket_pong", 2], ["empty_fragment", 4], ["noop", 3], ["preflight", 1]]) {
    await arena.counted(new RegExp(`edge_idle_total\\{kind="${kind}"`), count);
  }
  // The neighbour answers pings, too.
  await arena.counted(/edge_idle_total\{kind="pong"/, (count) => count >= 2);
});

inArena("an answer that takes long to compress is whole, compressed or not", {}, async (arena) => {
  const app = await arena.app();
  const { sid, session } = await arena.polling(app);
  const text = Array.from({ length: 100_000 }, (_, number) => `${number} ${randomBytes(4).toString("hex")}`).join("\n");
  const answer = fetch(`${arena.node.url}/socket.io/?${POLL}&sid=${sid}`, { headers: { "accept-encoding": "gzip" } });
  const part = send(session, text, SendFlag.compress);
  app.send(part, part, part, part);
  const got = await answer;
  // On a machine that is too busy it leaves as it is.
  const plain = await arena.count(/edge_answers_uncompressed_total/);
  assert.equal(got.headers.get("content-encoding"), plain === 0 ? "gzip" : null);
  assert.equal(await got.text(), Array(4).fill(`4${text}`).join("\u001e"));
});
