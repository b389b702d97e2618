// Back-pressure that an app can see: what was written and has not left the node.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { connectClient, startApp } from "./support/app.js";
import { HOMES, REHOMES } from "./support/homes.js";

const INFO = '{"node":"n1","version":"0.0.0","warnings":[],"frames":["Mark"]}';
const KIB = 1024;
const withMarks = { node: { welcome: { info: INFO } } };
const marks = (trunk) => trunk.batches.flat().filter(({ type }) => type === "Mark");
const answer = (trunk, { session, mark }, waitingBytes = 0) =>
  trunk.send({ type: "Marked", session, mark, waitingBytes });

test("little is written without asking the node", async (t) => {
  const { io, trunk } = await startApp(t, withMarks);
  const { conn } = await connectClient(io, trunk, 1);
  for (let number = 0; number < 15; number++) conn.write("x".repeat(KIB));
  await trunk.settle();
  assert.equal(marks(trunk).length, 0);
  assert.deepEqual([conn.writeBuffer, conn.bufferedBytes], [[], 0]);
});

test("an app that stops at a full writeBuffer and goes on at drain sends no more than the client takes", async (t) => {
  const { io, trunk } = await startApp(t, withMarks);
  const { conn } = await connectClient(io, trunk, 1);
  let sent = 0;
  const drains = [];
  const sendMore = () => {
    for (; sent < 200 && conn.writeBuffer.length <= 8; sent++) conn.write(`4${sent} ${"x".repeat(KIB)}`);
  };
  conn.on("drain", () => {
    drains.push(conn.writeBuffer.length);
    sendMore();
  });
  sendMore();
  await trunk.settle();
  const first = sent;
  assert.ok(first < 40, `${first} were sent`);
  assert.equal(conn.writeBuffer.length, 9);
  assert.equal(conn.writeBuffer[8].data.split(" ")[0], `4${first - 1}`, "the last packets are there to be looked at");
  assert.ok(conn.bufferedBytes > 9 * KIB);
  await trunk.settle();
  assert.equal(sent, first, "the node has not answered");
  for (let answered = 0; sent < 200 || conn.writeBuffer.length > 0; answered++) {
    assert.ok(answered < 100, "it goes on");
    const next = marks(trunk)[answered];
    if (next !== undefined) answer(trunk, next);
    await trunk.settle();
  }
  assert.ok(drains.length > 5);
  const numbers = trunk.batches
    .flat()
    .filter(({ type }) => type === "Send")
    .map(({ payload }) => parseInt(payload.toString().slice(1), 10));
  assert.deepEqual(
    numbers.filter((number) => !Number.isNaN(number)).slice(-200),
    Array.from({ length: 200 }, (_, number) => number),
  );
});

test("a mark keeps its place behind what it is about, and callbacks wait for it", async (t) => {
  const { io, trunk } = await startApp(t, withMarks);
  const { conn } = await connectClient(io, trunk, 1);
  conn.write("4".repeat(20 * KIB));
  const log = [];
  conn.on("flush", (packets) => log.push(["flush", packets.map(({ data }) => data)]));
  conn.on("drain", () => log.push("drain"));
  conn.write("4behind", {}, () => log.push("sent"));
  const mark = await trunk.next("Mark");
  const types = trunk.batches.flat().map(({ type }) => type);
  assert.ok(types.lastIndexOf("Mark") === types.lastIndexOf("Send") - 1, "between the two");
  assert.deepEqual(log, []);
  answer(trunk, mark);
  await trunk.settle();
  assert.deepEqual(log, ["sent", ["flush", ["4behind"]], "drain"]);
  assert.deepEqual([conn.writeBuffer, conn.bufferedBytes], [[], 0]);
});

test("the real outbox can be asked for", async (t) => {
  const { io, trunk, trunkline } = await startApp(t, withMarks);
  const socket = await connectClient(io, trunk, 1);
  const { conn } = socket;
  const measured = trunkline.bufferedBytes(socket);
  const mark = await trunk.next("Mark");
  assert.equal(mark.flags, 1);
  answer(trunk, mark, 12_345);
  assert.equal(await measured, 12_345);
  const left = conn.measure();
  conn.close();
  assert.equal(await left, undefined);
  assert.equal(await trunkline.bufferedBytes({ conn: {} }), undefined, "a direct client");
});

test("a node that knows no marks is asked nothing", async (t) => {
  const { io, trunk } = await startApp(t);
  const { conn } = await connectClient(io, trunk, 1);
  const drained = once(conn, "drain");
  for (let number = 0; number < 100; number++) conn.write("x".repeat(KIB));
  await drained;
  assert.deepEqual([conn.writeBuffer, conn.bufferedBytes, marks(trunk).length], [[], 0, 0]);
  assert.equal(await conn.measure(), undefined);
});

test("answers to nothing, twice, or for a session that has ended do no harm", async (t) => {
  const { io, trunk } = await startApp(t, withMarks);
  const { conn } = await connectClient(io, trunk, 1);
  conn.write("4".repeat(20 * KIB));
  const mark = await trunk.next("Mark");
  answer(trunk, { ...mark, mark: 77 });
  answer(trunk, mark);
  answer(trunk, mark);
  await trunk.settle();
  conn.close();
  answer(trunk, mark);
  await trunk.settle();
  assert.equal(conn.readyState, "closed");
});

for (const [reason, description, cause, blame] of [
  [7, "outbox_full", "outbox_full", "client"],
  [7, "memory_full", "memory_full", "node"],
  [7, "", "outbox_full", "client"],
  [9, "", "node_shutdown", "node"],
]) {
  test(`the app is told why a client was cut off: reason ${reason} "${description}"`, async (t) => {
    const { io, trunk } = await startApp(t);
    const socket = await connectClient(io, trunk, 1);
    const disconnected = once(socket, "disconnect");
    trunk.send({ type: "Close", session: 1, reason, description });
    const [words, details] = await disconnected;
    assert.equal(words, "transport close");
    assert.deepEqual(details.context, { cause, blame });
    assert.equal(typeof details.description, "string");
  });
}

test("a session that goes to another app server waits for no answer to a mark", { timeout: 20_000 }, async (t) => {
  const info = JSON.parse(HOMES.welcome.info);
  info.frames.push("Mark");
  const node = { welcome: { info: JSON.stringify(info) } };
  const { io, trunk, trunkline } = await startApp(t, { ...REHOMES, node });
  const socket = await connectClient(io, trunk, 1);
  const { conn } = socket;
  const log = [];
  // The app answers when what it wrote has left: until then the session cannot go.
  socket.on("ask", (answer) => {
    conn.write("4".repeat(20 * KIB));
    conn.write("4behind", {}, () => log.push("sent"));
    const measured = trunkline.bufferedBytes(socket);
    conn.once("drain", async () => {
      log.push(["drain", await measured, await trunkline.bufferedBytes(socket), conn.bufferedBytes]);
      conn.write("4".repeat(20 * KIB));
      log.push(conn.bufferedBytes);
      answer();
    });
  });
  const closing = io.close();
  await trunk.next("Standing");
  trunk.text(1, '20["ask"]');
  await trunk.next("Mark");
  trunk.send({ type: "Close", session: 1, reason: 15, description: "" });
  await closing;
  assert.deepEqual(log, ["sent", ["drain", undefined, undefined, 0], 0]);
  assert.equal((await trunk.next("Close")).reason, 15);
  assert.equal(marks(trunk).length, 2, "one of each, before the node agreed");
});
