// App servers that misbehave on their trunks, or that are in a bad state when something else happens.
import assert from "node:assert/strict";
import { BareAppServer } from "../../testing/app_server.mjs";
import { engineUrl, socketUrl } from "../../testing/engine.mjs";
import { requestText } from "../../testing/http.mjs";
import { RawStream, request } from "../../testing/stream.mjs";
import { send } from "../../testing/trunk_batch.mjs";
import { until } from "../../testing/wait.mjs";
import { upgradeHead } from "../../testing/websocket.mjs";
import { GROWTH_BYTES_MAX, MB, inArena } from "../harness/arena.mjs";
import { garbage, namespaces, random } from "../harness/garbage.mjs";

inArena(
  "an app server that comes back gets all new sessions, though its old trunk is stuck",
  { args: ["--handshake-timeout", "3s"] },
  async (arena) => {
    const server = "the-same-app-server";
    const old = await arena.app({ server });
    const { client } = await arena.session(old);
    old.pause();
    for (let number = 0; number < 120; number += 1) client.text(`4${"x".repeat(90_000)}`);
    await arena.rounds(30);
    const back = await arena.app({ server });
    for (let number = 0; number < 6; number += 1) {
      const answer = await request(arena.node.port, "GET", engineUrl());
      assert.equal(answer.status, 200, answer.body);
    }
    assert.equal(back.opens.length, 6);
  },
);

inArena("of many trunks that one process opens at once, one lives", {}, async (arena) => {
  const server = "one-and-the-same";
  for (let round = 0; round < 10; round += 1) {
    const trunks = Array.from({ length: 8 }, () => new BareAppServer(arena.node, { server }));
    await until("an answer to each", () => trunks.every((trunk) => trunk.welcome || trunk.ended));
    await until("the end of all but one", () => trunks.filter((trunk) => !trunk.ended).length <= 1);
    const [alive] = trunks.filter((trunk) => !trunk.ended);
    assert.ok(alive, "one of them lives");
    const answer = await request(arena.node.port, "GET", engineUrl());
    assert.equal(answer.status, 200, answer.body);
    assert.equal(alive.opens.length, 1);
    alive.leave();
    await until("its end", () => alive.ended);
  }
});

inArena("a trunk that closes sessions again and again, late and twice, ends alone", {}, async (arena) => {
  const good = await arena.app();
  const { client, session } = await arena.session(good);
  good.send({ type: "Drain", deadlineMs: 60_000 });
  const bad = await arena.app();
  const victim = await arena.session(bad);
  bad.close(victim.session);
  bad.close(victim.session);
  await until("the end of the bad one", () => bad.ended);
  assert.equal(bad.of("Error").length, 1);
  good.send(send(session, "unharmed"));
  await client.heard("4unharmed");
});

inArena(
  "an app server that does not read for a while gets everything that was written meanwhile",
  { args: ["--trunk-ping-interval", "10m"] },
  async (arena) => {
    const sender = await arena.app();
    const receiver = await arena.app();
    receiver.pause();
    // Between what the kernel buffers for one stream and what the node holds for an app server that does not read; in
    // relays, because they return no credit that would wake the writer.
    const relays = 15;
    const payload = Buffer.alloc(MB, "r");
    for (let number = 0; number < relays; number += 1) {
      sender.send({ type: "Relay", to: [receiver.server], payload });
      if (number % 4 === 3) await sender.ping();
    }
    await sender.ping();
    receiver.resume();
    await until("all relays", () => receiver.of("Relayed").length === relays);
  },
);

const SEEDS = 1000;
const AT_A_TIME = 8;

inArena(
  `${SEEDS} trunks of well-formed nonsense`,
  { args: ["--orphan-close-per-second", "100000", "--log", "warn"] },
  async (arena) => {
    const growth = arena.watchMemory();
    let next = 0;
    const worker = async () => {
      while (next < SEEDS) {
        const seed = next++;
        try {
          await oneTrunk(arena.node, seed);
        } catch (error) {
          error.message += ` (seed ${seed})`;
          throw error;
        }
        assert.equal(arena.node.child.exitCode, null, `the node died of a seed near ${seed}`);
        assert.ifError(arena.neighbour.failed);
      }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, worker));
    assert.ok(growth() < GROWTH_BYTES_MAX, `${growth()} bytes`);
    assert.equal(arena.node.log.count(/panic/i), 0);
    // Nothing is left of them, and the hub works.
    await arena.counted(/^trunkline_trunks$/, 1);
    // Polling clients may take some time to notice their end.
    await arena.counted(/^trunkline_sessions\{transport="websocket"/, 1);
    const app = await arena.app({ echoes: true });
    const { client } = await arena.session(app);
    client.text("4hello");
    await client.heard("4hello");
  },
);

/** A trunk with a few clients, which sends nonsense for all of them until either side closes it. */
async function oneTrunk(node, seed) {
  const pick = random(seed);
  const recovery = { connectionStateRecovery: { maxDisconnectionDuration: 1000 } };
  const settings = [{}, {}, recovery, { ...recovery, numbers: true }][pick(4)];
  // Some share an id: they replace each other.
  const server = pick(5) ? undefined : "the-same";
  const app = new BareAppServer(node, {
    settings,
    ...(server ? { server } : {}),
    accepts: pick(4) > 0,
    returns: pick(2) > 0,
  });
  await until("Welcome or the end", () => app.welcome || app.ended, { everyMs: 2 });
  const heads = [requestText("GET", engineUrl()), upgradeHead(socketUrl())];
  const clients = Array.from({ length: 1 + pick(3) }, () => new RawStream(node.port).write(heads[pick(2)]));
  if (settings.numbers) app.send({ type: "Number", high: 0, low: 1 });
  if (pick(10)) app.raw(namespaces());
  if (pick(4)) await until("a session or the end", () => app.opens.length > 0 || app.ended, { everyMs: 2 });
  for (let batches = 1 + pick(4); batches > 0 && !app.ended; batches -= 1) {
    app.raw(
      garbage(
        pick,
        app.opens.map(({ session }) => session),
      ),
    );
    await app.ping();
  }
  app.kill();
  for (const client of clients) client.destroy();
}

inArena(
  "trunks that do not read are told of one another in little memory",
  { args: ["--trunks-per-hub-max", "200", "--log", "warn"] },
  async (arena) => {
    const id = (number) => `${number}-`.padEnd(128, "x");
    const growth = arena.watchMemory();
    // Each joins and leaves. Sending each of them a list of all others each time took 3 GB.
    const idle = [];
    for (let number = 0; number < 199; number += 1) {
      const app = await arena.app({ server: id(number) });
      app.pause();
      idle.push(app);
    }
    const last = await arena.app({ server: id("last") });
    await until("all others", () => last.of("Peers").at(-1)?.servers.length === 199);
    const refused = new BareAppServer(arena.node, { server: "one too many" });
    await until("the refusal", () => refused.ended);
    assert.match(refused.ended.error, /503/);
    await arena.counted(/^trunkline_trunks_refused_total\{cause="trunks_full"\}$/, 1);
    assert.ok(growth() < GROWTH_BYTES_MAX, `${growth()} bytes`);
    // An app server that reads again gets the present list.
    idle.pop().kill();
    idle[0].resume();
    await until("198 others", () => idle[0].of("Peers").at(-1)?.servers.length === 198);
    await until("198 others", () => last.of("Peers").at(-1)?.servers.length === 198);
  },
);

inArena("an app server whose id is longer than an id is refused", {}, async (arena) => {
  for (const server of ["", "x".repeat(129)]) {
    const app = new BareAppServer(arena.node, { server });
    await until("the end", () => app.ended);
    assert.equal(app.of("Error")[0].code, 6);
    assert.equal(app.welcome, undefined);
  }
});

inArena(
  "an app server that asks and does not read is not heard for ever",
  { args: ["--trunk-unread-bytes-max", "1MiB", "--log", "warn"] },
  async (arena) => {
    const app = await arena.app();
    app.pause();
    const pings = Buffer.concat(Array.from({ length: 20_000 }, () => Buffer.from([4, 16, ...Buffer.alloc(16)])));
    // Far more than the buffers of both streams.
    for (let sent = 0; sent < 60; sent += 1) app.raw(pings);
    await arena.rounds(40);
    assert.ok(app.unsentBytes > 0, "the node has stopped reading");
    app.resume();
    await until("the rest", () => app.unsentBytes === 0);
    assert.equal(app.ended, undefined);
  },
);
