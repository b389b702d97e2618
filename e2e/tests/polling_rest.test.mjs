// Waiting connections rest in the node without HTTP buffers: what a client may do with them meanwhile.
import assert from "node:assert/strict";
import { engineUrl } from "../../testing/engine.mjs";
import { requestText } from "../../testing/http.mjs";
import { RawStream } from "../../testing/stream.mjs";
import { CloseReason, send } from "../../testing/trunk_batch.mjs";
import { until } from "../../testing/wait.mjs";
import { inArena } from "../harness/arena.mjs";

const settings = { pingInterval: 300_000 };
const get = (sid, headers = {}) => requestText("GET", engineUrl({ sid }), { headers });
const post = (sid, body) =>
  requestText("POST", engineUrl({ sid }), { headers: { "content-type": "text/plain" }, body });
/** Bodies of the complete answers so far, in order. */
const answers = ({ responses }) => responses.map(({ body }) => body);
async function answered(stream, bodies) {
  await until(`${bodies.length} answers`, () => answers(stream).length >= bodies.length);
  assert.ok(
    bodies.every((body, place) => answers(stream)[place] === body),
    `the answers ${answers(stream).map((body) => body.slice(0, 20))}`,
  );
}

inArena("one connection for held polls and posts, with rests between them", {}, async (arena) => {
  const app = await arena.app({ settings });
  const { sid, session } = await arena.polling(app);
  const stream = new RawStream(arena.node.port);
  const expected = [];
  for (let round = 0; round < 5; round += 1) {
    stream.write(get(sid, { "accept-encoding": "gzip" }));
    await arena.rounds(2);
    app.send(send(session, `held ${round}`));
    await answered(stream, [...expected, `4held ${round}`]);
    await arena.rounds(2);
    stream.write(post(sid, `4said ${round}`));
    expected.push(`4held ${round}`, "ok");
    await answered(stream, expected);
    await arena.rounds(2);
  }
  assert.deepEqual(
    app.messages(session).map(({ head }) => head),
    [0, 1, 2, 3, 4].map((round) => `said ${round}`),
  );
  stream.destroy();
});

inArena("what is sent while a poll is held waits for its answer, whole or in pieces", {}, async (arena) => {
  const app = await arena.app({ settings });
  const { sid, session } = await arena.polling(app);
  const stream = new RawStream(arena.node.port);
  // In the same write as the poll: a request, and the beginning of another.
  const second = post(sid, "4second");
  stream.write(get(sid) + post(sid, "4first") + second.slice(0, 40));
  await arena.rounds(3);
  app.send(send(session, "one"));
  await answered(stream, ["4one", "ok"]);
  stream.write(second.slice(40));
  await answered(stream, ["4one", "ok", "ok"]);
  // After the poll.
  stream.write(get(sid));
  await arena.rounds(3);
  stream.write(post(sid, "4third"));
  await arena.rounds(3);
  app.send(send(session, "two"));
  await answered(stream, ["4one", "ok", "ok", "4two", "ok"]);
  assert.deepEqual(
    app.messages(session).map(({ head }) => head),
    ["first", "second", "third"],
  );
  stream.destroy();
});

inArena("the last answer of a connection that is not kept alive, and big ones", {}, async (arena) => {
  const app = await arena.app({ settings });
  const { sid, session } = await arena.polling(app);
  const stream = new RawStream(arena.node.port);
  const big = "x".repeat(3_000_000);
  stream.write(get(sid));
  await arena.rounds(3);
  app.send(send(session, big));
  await answered(stream, [`4${big}`]);
  stream.write(get(sid, { connection: "close" }));
  await arena.rounds(3);
  app.send(send(session, "last"));
  await stream.closed();
  assert.equal(answers(stream)[1], "4last");
});

inArena("a connection that ends at rest: with a poll the session ends, without one nothing does", {}, async (arena) => {
  const app = await arena.app({ settings });
  const { sid, session } = await arena.polling(app);
  const idle = new RawStream(arena.node.port);
  idle.write(post(sid, "4hello"));
  await answered(idle, ["ok"]);
  await arena.rounds(2);
  idle.destroy();
  await arena.rounds(2);
  assert.equal(app.of("Close", session).length, 0);
  const held = new RawStream(arena.node.port);
  held.write(get(sid));
  await arena.rounds(3);
  held.destroy();
  assert.equal((await app.heard("Close", session)).reason, CloseReason.transportError);
});

inArena("many polls at rest keep little memory, and all are answered", { calm: false }, async (arena) => {
  const app = await arena.app({ settings });
  const streams = [];
  const polls = async (count) => {
    for (let number = 0; number < count; number += 1) {
      const { sid, session } = await arena.polling(app);
      const stream = new RawStream(arena.node.port).write(get(sid));
      streams.push({ stream, session });
    }
    await app.ping();
  };
  await polls(100);
  const before = arena.residentBytes;
  await polls(600);
  const each = (arena.residentBytes - before) / 600;
  // Hyper's buffers alone are 16 KiB, and any buffer in a task is there for all of them.
  assert.ok(each < 4 * 1024, `${each} bytes for each`);
  app.send(...streams.map(({ session }) => send(session, "all")));
  await until("all answers", () => streams.every(({ stream }) => answers(stream)[0] === "4all"));
  for (const { stream } of streams) stream.destroy();
});
