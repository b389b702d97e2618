// Clients that ask for much over HTTP and do not read it: an answer has a deadline, counts for its session, and ends
// with it.
import assert from "node:assert/strict";
import { engineUrl } from "../../testing/engine.mjs";
import { requestText } from "../../testing/http.mjs";
import { RawStream, request } from "../../testing/stream.mjs";
import { send } from "../../testing/trunk_batch.mjs";
import { until } from "../../testing/wait.mjs";
import { CloseReason, MB, inArena } from "../harness/arena.mjs";

const ANSWER_BYTES = 8 * MB;
/** More than the kernel buffers for a stream that is not read. */
const answer = Buffer.alloc(ANSWER_BYTES, "q").toString();

/** A polling session that has asked for its next answer and will not read it. */
async function deaf(arena, app) {
  const { sid, session } = await arena.polling(app);
  const raw = new RawStream(arena.node.port);
  raw.pause();
  raw.write(requestText("GET", engineUrl({ sid })));
  return { sid, session, raw };
}

const inFlight = (arena) => arena.count(/^trunkline_edge_answers_unread_bytes$/);

inArena(
  "an answer that is not read is counted, and given up at its deadline",
  { args: ["--answer-timeout", "1s"] },
  async (arena) => {
    const app = await arena.app();
    const { session, raw } = await deaf(arena, app);
    const before = arena.residentBytes;
    app.send(send(session, answer));
    await until("the answer to be counted", async () => (await inFlight(arena)) > 7 * MB);
    assert.ok(arena.residentBytes - before > 4 * MB, "it is held");
    await arena.counted(/edge_streams_refused_total\{cause="answer_timeout"\}/, 1);
    await until("nothing in flight", async () => (await inFlight(arena)) === 0);
    // The content of the answer is lost, and the session with it.
    await app.heard("Close", session);
    raw.destroy();
  },
);

inArena("an answer that is not read goes when its session ends for silence", {}, async (arena) => {
  const app = await arena.app({ settings: { pingInterval: 3000, pingTimeout: 300 } });
  const { session, raw } = await deaf(arena, app);
  app.send(send(session, answer));
  const { reason } = await app.heard("Close", session);
  assert.equal(reason, CloseReason.pingTimeout);
  await arena.counted(/edge_streams_refused_total\{cause="session_ended"\}/, 1);
  await until("nothing in flight", async () => (await inFlight(arena)) === 0);
  raw.destroy();
});

inArena(
  "what is not read counts to the bytes that may wait for a session",
  { args: ["--outbox-bytes-max", "4MiB"] },
  async (arena) => {
    const app = await arena.app();
    const { sid, session, raw } = await deaf(arena, app);
    app.send(send(session, answer));
    await until("the answer to be counted", async () => (await inFlight(arena)) > 7 * MB);
    app.send(send(session, "more"));
    // The client has another stream for its next poll.
    await request(arena.node.port, "GET", engineUrl({ sid }));
    await arena.counted(/sessions_closed_total\{cause="outbox_full"/, 1);
    await until("nothing in flight", async () => (await inFlight(arena)) === 0);
    raw.destroy();
  },
);

inArena("last words that are slow to be read still arrive", {}, async (arena) => {
  const app = await arena.app();
  const { session, raw } = await deaf(arena, app);
  app.send(send(session, answer));
  app.close(session);
  await app.ping();
  await arena.rounds(5);
  raw.resume();
  await until("the whole answer", () => raw.received.length > ANSWER_BYTES);
  raw.destroy();
});

inArena(
  "when memory is full, those go who hold most, and newcomers get in",
  { args: ["--memory-bytes-max", "64MiB"] },
  async (arena) => {
    const app = await arena.app();
    const crowd = [];
    for (let number = 0; number < 12; number += 1) crowd.push(await deaf(arena, app));
    const reader = await arena.session(app);
    for (const { session } of crowd) app.send(send(session, answer));
    await arena.counted(/sessions_closed_total\{cause="memory_full"/, (count) => count > 0);
    await until(
      "a newcomer's session",
      async () => (await request(arena.node.port, "GET", engineUrl())).status === 200,
    );
    // A session that holds little is not closed.
    app.send(send(reader.session, "still here"));
    await reader.client.heard("4still here");
    for (const { raw } of crowd) raw.destroy();
  },
);
