// App servers whose connection to the node breaks: their trunks go on over another one, or end at once when the process
// is gone.
import assert from "node:assert/strict";
import { CuttingProxy } from "../../testing/cutting_proxy.mjs";
import { send } from "../../testing/trunk_batch.mjs";
import { until } from "../../testing/wait.mjs";
import { inArena } from "../harness/arena.mjs";
import { random } from "../harness/garbage.mjs";

const RESUMED = /^trunkline_trunks_resumed_total/;
const ENDED = /^trunkline_trunks_ended_total\{.*"(app_server_gone|stream_broken)"/;
/** A window that no test waits for. */
const LONG = ["--trunk-resume-window", "60s"];
const MESSAGES = 120;

/** An app server behind a proxy that can cut its connection. */
async function behindProxy(arena, options) {
  const proxy = await CuttingProxy.start(arena.node.port);
  const app = await arena.app({ resumable: true, through: proxy.port, ...options });
  return { proxy, app };
}

inArena("each message and its echo arrive once, wherever the connection is cut", { args: LONG }, async (arena) => {
  const { proxy, app } = await behindProxy(arena, { echoes: true });
  const { client, session } = await arena.session(app);
  const pick = random(7);
  let sent = 0;
  for (let cuts = 0; sent < MESSAGES; cuts = proxy.cuts) {
    proxy.cutAfter(1 + pick(500));
    while (proxy.cuts === cuts && sent < MESSAGES) {
      sent += 1;
      client.text(`4${sent}`);
      await until("the echo, or the end of the connection", () => {
        return proxy.cuts > cuts || client.texts.includes(`4${sent}`);
      });
    }
    if (proxy.cuts > cuts) assert.ok(await app.resumeTrunk(proxy.port));
  }
  const expected = Array.from({ length: MESSAGES }, (_, index) => `4${index + 1}`);
  await client.heard(`4${MESSAGES}`);
  assert.deepEqual(
    client.texts.filter((text) => text.startsWith("4")),
    expected,
  );
  assert.deepEqual(
    app.messages(session).map(({ head }) => `4${head}`),
    expected,
  );
  assert.ok(proxy.cuts > 10, `cut ${proxy.cuts} times`);
  assert.equal(await arena.count(RESUMED), proxy.cuts);
  proxy.stop();
});

inArena("while a connection is broken, newcomers go to other app servers", { args: LONG }, async (arena) => {
  const { proxy, app } = await behindProxy(arena);
  const { client } = await arena.session(app);
  proxy.cut();
  await until("the break", () => arena.node.log.text.includes("stream broke"));
  const other = await arena.app();
  for (let number = 0; number < 4; number += 1) await arena.session(other);
  assert.equal(app.opens.length, 1);
  assert.ok(await app.resumeTrunk(proxy.port));
  assert.equal(client.ended, false);
  await arena.session(app);
  proxy.stop();
});

for (const how of ["kill", "reset"]) {
  inArena(`a process that is gone is not waited for: ${how}`, { args: LONG }, async (arena) => {
    const app = await arena.app({ resumable: true, direct: true });
    const { client, session } = await arena.session(app);
    // What it said last still counts.
    app.send(send(session, "last words"));
    app[how]();
    await client.heard("4last words");
    await arena.counted(ENDED, 1);
    await client.closed();
    assert.equal(await arena.count(RESUMED), 0);
  });
}

inArena("a process whose stream something between has reset in its name goes on", { args: LONG }, async (arena) => {
  // The node waits a moment only, and on a busy machine the app server may be late.
  for (let attempts = 0; attempts < 20; attempts += 1) {
    const app = await arena.app({ resumable: true, direct: true });
    app.reset();
    await until("the break", () => arena.node.log.text.includes("stream broke"));
    await app.resumeTrunk(arena.node.port);
    if ((await arena.count(RESUMED)) > 0) return;
  }
  assert.fail("it never goes on");
});

inArena("an app server that leaves in order is not waited for", { args: LONG }, async (arena) => {
  const { proxy, app } = await behindProxy(arena);
  const { client } = await arena.session(app);
  app.leave();
  await client.closed();
  await until("the end", () => app.ended);
  proxy.stop();
});

inArena(
  "an app server that does not come back in time is lost, and gets a new trunk afterwards",
  { args: ["--trunk-resume-window", "300ms"] },
  async (arena) => {
    const { proxy, app } = await behindProxy(arena);
    const { client } = await arena.session(app);
    proxy.cut();
    await client.closed();
    assert.equal(await app.resumeTrunk(proxy.port), false);
    assert.equal(await arena.count(RESUMED), 0);
    proxy.stop();
  },
);
