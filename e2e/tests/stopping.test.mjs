// A node that is told to end while others do not do their part.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import test from "node:test";
import { send, SendFlag } from "../../testing/trunk_batch.mjs";
import { until, within } from "../../testing/wait.mjs";
import { inArena } from "../harness/arena.mjs";
import { PLAIN, TRANSPORTS, World } from "../harness/world.mjs";

const unlessPlain = PLAIN ? test.skip : test;

unlessPlain("an app server that hangs does not keep a node beyond its drain", async () => {
  const world = await World.start({ args: ["--drain", "1s"] });
  const app = world.app("amber");
  try {
    const clients = [await world.client("/", TRANSPORTS.polling), await world.client("/", TRANSPORTS.websocket)];
    const gone = clients.map((client) => once(client, "disconnect"));
    app.child.kill("SIGSTOP");
    const ended = once(world.node.child, "exit");
    world.node.child.kill("SIGTERM");
    await within("the ends of the clients", Promise.all(gone));
    const [code] = await within("the end of the node", ended);
    assert.equal(code, 0);
    // Its clients are closed within the time of the drain; the app server never confirms their ends.
    assert.doesNotMatch(world.node.log.text, /deadline of the drain has passed/);
    assert.match(world.node.log.text, /trunkline has stopped/);
  } finally {
    app.child.kill("SIGCONT");
    await world.stop();
  }
});

const COMPRESSING = { args: ["--trunk-credit-bytes", "256MiB", "--outbox-bytes-max", "256MiB"], calm: false };
inArena("what is still to be compressed does not keep a node from its end", COMPRESSING, async (arena) => {
  const app = await arena.app({ settings: { perMessageDeflate: { threshold: 1024 } } });
  const { client, session } = await arena.session(app, {
    headers: { "Sec-WebSocket-Extensions": "permessage-deflate" },
  });
  // Some seconds of work.
  const words = Array.from({ length: 30 }, () =>
    send(session, randomBytes(500_000).toString("hex"), SendFlag.compress),
  );
  const begun = once(client.socket, "data");
  for (const word of words) app.send(word);
  await begun;
  const ended = once(arena.node.child, "exit");
  arena.node.child.kill("SIGTERM");
  await until("the drain", () => /draining/.test(arena.node.log.text));
  arena.node.child.kill("SIGTERM");
  const [code] = await within("the end of the node", ended);
  assert.equal(code, 0);
  assert.match(arena.node.log.text, /trunkline has stopped/);
  assert.doesNotMatch(arena.node.log.text, /a thread does not end/);
});
