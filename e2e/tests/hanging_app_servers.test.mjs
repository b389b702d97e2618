// App servers that hang next to one that does not: new clients, preflights and refused requests get their answers.
import assert from "node:assert/strict";
import { until } from "../../testing/wait.mjs";
import { withWorld } from "../harness/test.mjs";
import { TRANSPORTS, connected } from "../harness/world.mjs";

const POLL = "/socket.io/?EIO=4&transport=polling";
/** Half of the default: short enough for a test, and long enough for pongs on a busy machine. */
const QUICK = ["--handshake-retry-after", "500ms"];

const status = async (world) => (await fetch(`${world.node.adminUrl}/api/v1/status`)).json();
const hanging = async (world) => (await status(world)).hubs[0].app_servers.filter(({ hangs }) => hangs).length;
const counted = async (world, name) => (await world.node.metrics()).get(name) ?? 0;
const clientsOf = (world, name) => world.app(name).run(({ io }) => io.engine.clientsCount);

/** Counts every request that reaches this app server, and lets it continue `delayMs` later, or never. */
const slowDown = (app, delayMs) =>
  app.run(({ io }, delay) => {
    globalThis.asked = [];
    io.engine.use((req, _res, next) => {
      globalThis.asked.push(req.url);
      if (delay >= 0) setTimeout(next, delay);
    });
  }, delayMs);
const asked = async (app) => (await app.run(() => globalThis.asked)).length;

/** Clients that connect at the same time over every transport; waits for all. */
async function crowd(world, count) {
  const all = Object.values(TRANSPORTS);
  const clients = Array.from({ length: count }, (_, number) => world.open("/", all[number % all.length]));
  await Promise.all(clients.map(connected));
  return clients;
}

withWorld(
  "a fresh app server that hangs: newcomers get in elsewhere, and it comes back by itself",
  { servers: ["amber"], trunklineOnly: true },
  async (world) => {
    await crowd(world, 6);
    const cobalt = await world.startApp({ name: "cobalt" });
    // Without sessions it would be given every new client.
    cobalt.child.kill("SIGSTOP");
    const clients = await crowd(world, 30);
    for (const client of clients) assert.equal(await client.emitWithAck("server"), "amber");
    assert.equal(await counted(world, 'trunkline_app_servers_ejected_total{cause="silent"}'), 1);
    assert.ok((await counted(world, "trunkline_handshakes_retried_total")) > 0);
    assert.equal(await hanging(world), 1);
    await until("the node's word", () => world.node.log.count(/app server hangs/) === 1);
    assert.equal(await clientsOf(world, "amber"), 36);

    cobalt.child.kill("SIGCONT");
    await until("its return", async () => (await hanging(world)) === 0);
    await until("the node's word", () => world.node.log.count(/app server answers again/) === 1);
    await until("it has let go of what was taken back", async () => (await clientsOf(world, "cobalt")) === 0);
    const late = await crowd(world, 6);
    for (const client of late) assert.equal(await client.emitWithAck("server"), "cobalt", "it has the fewest");
  },
);

withWorld(
  "an app server whose handshakes hang while it answers pings",
  { servers: ["amber", "cobalt"], args: QUICK, trunklineOnly: true },
  async (world) => {
    await slowDown(world.app("cobalt"), -1);
    const clients = await crowd(world, 12);
    for (const client of clients) assert.equal(await client.emitWithAck("server"), "amber");
    // Tests in virtual time check which cause it is: on a busy machine a pong may be late, too.
    const causes = ["unanswered", "silent"].map((cause) =>
      counted(world, `trunkline_app_servers_ejected_total{cause="${cause}"}`),
    );
    assert.ok((await Promise.all(causes)).reduce((sum, count) => sum + count) >= 1);
    assert.ok((await counted(world, "trunkline_handshakes_retried_total")) > 0);
  },
);

withWorld(
  "slow but healthy: nothing is asked twice",
  { servers: ["amber", "cobalt"], trunklineOnly: true },
  async (world) => {
    for (const app of world.apps) await slowDown(app, 2000);
    const polling = Array.from({ length: 8 }, () => world.open("/", { transports: ["polling"], upgrade: false }));
    await Promise.all(polling.map(connected));
    const urls = [];
    for (const app of world.apps) urls.push(...(await app.run(() => globalThis.asked)));
    assert.equal(urls.filter((url) => !url.includes("sid=")).length, 8);
    assert.equal(await counted(world, "trunkline_handshakes_retried_total"), 0);
  },
);

withWorld(
  "the only app server of a hub is waited for, however long it hangs",
  { servers: ["amber"], args: QUICK, trunklineOnly: true },
  async (world) => {
    world.app("amber").child.kill("SIGSTOP");
    const client = world.open("/", TRANSPORTS.websocket);
    await until("the node's word", () => world.node.log.count(/app server hangs/) === 1);
    world.app("amber").child.kill("SIGCONT");
    await connected(client);
  },
);

withWorld(
  "an app server that dies with handshakes on its hands: others have them",
  { servers: ["amber", "cobalt"], trunklineOnly: true },
  async (world) => {
    await slowDown(world.app("cobalt"), -1);
    const clients = Array.from({ length: 6 }, () => world.open("/", TRANSPORTS.websocket));
    await until("half of them with it", async () => (await asked(world.app("cobalt"))) === 3);
    await world.app("cobalt").stop("SIGKILL");
    await Promise.all(clients.map(connected));
    assert.equal(await clientsOf(world, "amber"), 6);
  },
);

withWorld(
  "preflights and refused requests are spread, and none waits for one that hangs",
  { servers: ["amber", "cobalt", "jade"], trunklineOnly: true },
  async (world) => {
    for (const app of world.apps) await slowDown(app, 0);
    const preflight = () =>
      fetch(`${world.url}${POLL}`, {
        method: "OPTIONS",
        headers: { origin: "http://x", "access-control-request-method": "GET" },
      });
    const refused = () => fetch(`${world.url}${POLL}&sid=unknown`);
    for (const ask of [preflight, refused]) {
      const before = await Promise.all(world.apps.map(asked));
      for (let count = 0; count < 6; count += 1) await ask();
      const after = await Promise.all(world.apps.map(asked));
      assert.deepEqual(
        after.map((count, at) => count - before[at]),
        [2, 2, 2],
        String(ask),
      );
    }

    const [oldest, ...others] = world.apps;
    oldest.child.kill("SIGSTOP");
    const before = await Promise.all(others.map(asked));
    const answers = await Promise.all([...Array(6)].flatMap(() => [preflight(), refused()]));
    assert.deepEqual(
      answers.filter(({ status }) => status === 503),
      [],
    );
    assert.ok((await counted(world, "trunkline_requests_retried_total")) > 0);
    const after = await Promise.all(others.map(asked));
    assert.equal(after.reduce((sum, count) => sum + count) - before.reduce((sum, count) => sum + count), 12);
    oldest.child.kill("SIGCONT");
  },
);
