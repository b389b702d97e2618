// Clients that change their app server when something is wrong with the next one, with the former one, or with all.
import assert from "node:assert/strict";
import { until } from "../../testing/wait.mjs";
import { CuttingProxy } from "../../testing/cutting_proxy.mjs";
import { withWorld } from "../harness/test.mjs";
import { TRANSPORTS } from "../harness/world.mjs";

const SETTINGS = {
  threads: 2,
  app: "faulty",
  options: { connectionStateRecovery: { skipMiddlewares: true } },
  trunklineOnly: true,
};
const RETURNING = { reconnection: true, reconnectionDelay: 10, reconnectionDelayMax: 50 };

const isOver = ({ child }) => child.exitCode !== null || child.signalCode !== null;
const notesOf = (app, kind, client) => app.notes.filter((note) => note.kind === kind && note.data.client === client);
const homeOf = (world, client) => world.apps.findLast((app) => notesOf(app, "connected", client).length > 0);
/** The state of each socket of an app server is with its node. */
const saveAll = (app) =>
  app.run(({ io, trunkline }) => Promise.all([...io.sockets.sockets.values()].map((each) => trunkline.save(each))));

/** A client, and what it went through. */
async function join(world, name, { nsp = "/", transport = "websocket", ...options } = {}) {
  const socket = await world.client(nsp, {
    ...TRANSPORTS[transport],
    ...RETURNING,
    auth: { client: name },
    ...options,
  });
  const client = { name, socket, id: socket.id, ends: [], connects: [], errors: [] };
  socket.on("disconnect", (reason) => client.ends.push(reason));
  socket.on("connect", () => client.connects.push(socket.recovered));
  socket.on("connect_error", (error) => client.errors.push(error.message));
  await until("its offset", () => socket._lastOffset !== undefined);
  return client;
}

withWorld(
  "a client that brings down the app server that adopts it is not given to the next one",
  { ...SETTINGS, servers: ["amber", "cobalt", "jade"] },
  async (world) => {
    const poison = await join(world, "poison");
    const others = [];
    for (let number = 0; number < 6; number += 1) others.push(await join(world, `idle ${number}`));
    const home = await until("its app server", () => homeOf(world, "poison"));
    await saveAll(home);
    await home.stop("SIGKILL");
    // It comes back by itself, as a new client: nothing of it was kept.
    await until("its return", () => poison.connects.length > 0);
    assert.deepEqual([poison.connects, poison.ends.length], [[false], 1]);
    await until("answers", async () => (await Promise.all(others.map(answers))).every(Boolean));
    const died = world.apps.filter((app) => app !== home && isOver(app));
    assert.equal(died.length, 1, `these died of it: ${died.map(({ name }) => name)}`);
    const adopters = world.apps.filter((app) => notesOf(app, "connected", "poison").some(({ data }) => data.rehomed));
    assert.deepEqual(adopters, died);
  },
);

const answers = ({ socket }) => socket.connected && socket.timeout(5_000).emitWithAck("server");

for (const [what, prepare, expected] of [
  [
    "its middleware refuses",
    { options: { connectionStateRecovery: { skipMiddlewares: false } }, nsp: "/" },
    ["not here"],
  ],
  ["the namespace is gone there", { options: SETTINGS.options, nsp: "/rooms" }, ["Invalid namespace"]],
]) {
  withWorld(
    `the next app server does not take a client: ${what}`,
    { ...SETTINGS, options: prepare.options, servers: ["amber"] },
    async (world) => {
      const [amber] = world.apps;
      const guest = await join(world, "guest", { nsp: prepare.nsp });
      const other = await join(world, "other");
      const without = await world.startApp({ ...SETTINGS, options: prepare.options, name: "without" });
      await without.run(({ refused }) => refused.add("guest"));
      await saveAll(amber);
      await amber.run(({ io }) => void io.close());
      await until("the app's own answer", () => guest.errors.length > 0);
      // It was disconnected, and met what every new client meets.
      assert.deepEqual([guest.errors.slice(0, 1), guest.ends.length, guest.connects], [expected, 1, []]);
      await until("the other one", () => notesOf(without, "connected", "other").length > 0);
      assert.deepEqual([other.ends, other.connects, await answers(other)], [[], [], "without"]);
      assert.deepEqual(notesOf(without, "connected", "guest"), []);
    },
  );
}

withWorld(
  "all app servers are started again at once: their clients wait for them",
  { ...SETTINGS, servers: ["amber", "cobalt"] },
  async (world) => {
    const clients = [];
    for (let number = 0; number < 8; number += 1)
      clients.push(await join(world, `idle ${number}`, { transport: number % 2 ? "websocket" : "polling" }));
    const former = [...world.apps];
    await Promise.all(former.map(saveAll));
    await Promise.all(former.map((app) => app.stop("SIGKILL")));
    await Promise.all(["jade", "ochre"].map((name) => world.startApp({ ...SETTINGS, name })));
    const told = await Promise.all(clients.map(answers));
    assert.deepEqual(
      [...new Set(told)].filter((name) => name !== "jade" && name !== "ochre"),
      [],
    );
    for (const { name, ends, connects } of clients) assert.deepEqual([ends, connects], [[], []], name);
  },
);

withWorld(
  "an app server that is stopped, and wakes when its clients have moved, does not reach them",
  { ...SETTINGS, servers: ["cobalt"], args: ["--trunk-resume-window", "1s"] },
  async (world) => {
    const cutter = await CuttingProxy.start(new URL(world.url).port);
    try {
      const cobalt = world.app("cobalt");
      const amber = await world.startApp({ ...SETTINGS, name: "amber", trunkline: { endpoint: [cutter.url] } });
      const clients = [];
      for (let number = 0; number < 8; number += 1) {
        const client = await join(world, `idle ${number}`);
        client.heard = [];
        client.socket.on("stale", () => client.heard.push("stale"));
        clients.push(client);
      }
      const moving = clients.filter(({ name }) => homeOf(world, name) === amber);
      assert.ok(moving.length > 0, "amber has clients");
      await saveAll(amber);
      // What it says when it wakes, before it can know anything.
      await amber.run(({ io }) => {
        const sockets = [...io.sockets.sockets.values()];
        setTimeout(() => {
          for (const socket of sockets) socket.emit("stale");
        }, 300);
      });
      amber.child.kill("SIGSTOP");
      try {
        cutter.goAway();
        const isMoved = ({ name }) => notesOf(cobalt, "connected", name).some(({ data }) => data.rehomed);
        await until("their next app server", () => moving.every(isMoved));
      } finally {
        cutter.comeBack();
        amber.child.kill("SIGCONT");
      }
      await until("their ends there", () =>
        moving.every(({ name }) =>
          notesOf(amber, "disconnected", name).some(({ data }) => data.reason === "transport close"),
        ),
      );
      for (const client of clients) {
        assert.equal(await answers(client), moving.includes(client) ? "cobalt" : homeOf(world, client.name).name);
        assert.deepEqual([client.ends, client.connects, client.heard], [[], [], []], client.name);
      }
    } finally {
      cutter.stop();
    }
  },
);

withWorld(
  "an app server that hangs and keeps its stream: its clients move when it has been silent, and it never reaches them",
  { ...SETTINGS, servers: ["cobalt"], args: ["--trunk-ping-interval", "500ms"] },
  async (world) => {
    const cobalt = world.app("cobalt");
    const amber = await world.startApp({ ...SETTINGS, name: "amber" });
    const clients = [];
    for (let number = 0; number < 8; number += 1) {
      const client = await join(world, `idle ${number}`);
      client.heard = [];
      client.socket.on("stale", () => client.heard.push("stale"));
      clients.push(client);
    }
    const [busy, ...idle] = clients.filter(({ name }) => homeOf(world, name) === amber);
    assert.ok(idle.length > 0, "amber has clients");
    await saveAll(amber);
    // What it says when it wakes, before it can know anything.
    await amber.run(({ io }) => {
      const sockets = [...io.sockets.sockets.values()];
      const isStopped = performance.now();
      const timer = setInterval(() => {
        if (performance.now() - isStopped < 1_000) return;
        clearInterval(timer);
        for (const socket of sockets) socket.emit("stale");
      }, 10);
    });
    amber.child.kill("SIGSTOP");
    let answer;
    try {
      // It is written to the stream of a process that cannot read it: nobody can know what will become of it.
      busy.socket.timeout(20_000).emit("server", (error, server) => (answer = error ? error.message : server));
      const isMoved = ({ name }) => notesOf(cobalt, "connected", name).some(({ data }) => data.recovered);
      await until("their next app server", () => [busy, ...idle].every(isMoved), { withinMs: 20_000 });
      for (const { name } of idle) assert.equal(notesOf(cobalt, "connected", name)[0].data.rehomed, true, name);
      assert.notEqual(notesOf(cobalt, "connected", busy.name)[0].data.rehomed, true, "it came back by itself");
    } finally {
      amber.child.kill("SIGCONT");
    }
    await until("their ends there", () =>
      [busy, ...idle].every(({ name }) =>
        notesOf(amber, "disconnected", name).some(({ data }) => data.reason === "transport close"),
      ),
    );
    // It takes part again, and everybody is where they were.
    await until("its new trunk", () => amber.run(({ trunkline }) => trunkline.stats.trunksUp === 1));
    for (const client of [...idle, busy]) assert.equal(await answers(client), "cobalt", client.name);
    for (const { name, ends, connects, heard } of clients) {
      const isBusy = name === busy.name;
      assert.deepEqual([ends.length, connects, heard], isBusy ? [1, [true], []] : [0, [], []], name);
    }
    assert.notEqual(answer, "amber", "what it says when it wakes reaches nobody");
    for (const { name } of [busy, ...idle])
      assert.equal(notesOf(cobalt, "connected", name).length, 1, `${name} has one socket`);
  },
);
