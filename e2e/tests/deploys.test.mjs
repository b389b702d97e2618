// App servers that are deployed, killed, restarted, or lose their streams: what clients see of it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "../../testing/wait.mjs";
import { CuttingProxy } from "../../testing/cutting_proxy.mjs";
import { withWorld } from "../harness/test.mjs";
import { TRANSPORTS } from "../harness/world.mjs";
import { MODES, Stage } from "../stress/deploys_stage.mjs";

const RECOVERY = { connectionStateRecovery: {} };

/** Runs `act` with clients that talk all the time; `judged` has what the oracle found. */
function withStage(name, { servers, busy = 30, idle = 30 }, act, check) {
  test(name, async () => {
    const stage = await Stage.open();
    let judged;
    try {
      const starting = await servers(stage);
      await stage.connect(busy, idle, MODES);
      await until("messages", () => stage.clients.slice(0, busy).every(({ said }) => said.length > 2));
      await act(stage, starting);
    } finally {
      judged = await stage.close({ homes: false });
    }
    assert.deepEqual(judged.violations, []);
    const ends = stage.clients.map(
      ({ ends: all }) => all.filter(({ reason }) => reason !== "io client disconnect").length,
    );
    check(stage, judged, { busy: sum(ends.slice(0, busy)), idle: sum(ends.slice(busy)) });
  });
}

const sum = (list) => list.reduce((total, each) => total + each, 0);
const adopted = ({ all }) => all.filter(({ op, rehomed }) => op === "came" && rehomed).length;
const waiting = async (stage) => (await stage.metrics()).get("trunkline_homes_waiting");
/** Nobody waits for an app server, and each client that speaks has an answer to something that it says from now on. */
const settle = async (stage, busy) => {
  const said = stage.clients.map((client) => client.said.length);
  const isAnswered = (client, index) => client.said.slice(said[index]).some(({ outcome }) => outcome === "acked");
  await until("answers", () => stage.clients.slice(0, busy).every(isAnswered), { withinMs: 45_000 });
  await until("app servers for all", async () => (await waiting(stage)) === 0);
  await until("all clients", () => stage.clients.every(({ socket }) => socket.connected));
};
const two = async (stage) => {
  await stage.start();
  await stage.start();
};

withStage(
  "kill -9 of one of two app servers: clients without a message under way keep their connection",
  { servers: two },
  async (stage) => {
    const [first] = stage.apps;
    const had = await first.run(({ io }) => io.sockets.sockets.size);
    await stage.kill(first);
    // The node has seen the end, and those that it was sure of have gone on.
    await until("the node's word", () => stage.node.log.count(/sessions of an app server that is gone/) > 0);
    assert.ok(had > 0, "it had clients");
    await settle(stage, 30);
  },
  (stage, judged, dropped) => {
    assert.equal(dropped.idle, 0);
    assert.ok(adopted(judged) >= 15, `${adopted(judged)} were adopted`);
    const back = stage.clients.flatMap(({ connects }) => connects.slice(1));
    assert.ok(
      back.every(({ recovered }) => recovered),
      "who was in doubt came back to its socket",
    );
  },
);

withStage(
  "a deploy of two app servers, one after another: no client loses its connection or a message",
  { servers: two },
  async (stage) => {
    for (const old of [...stage.apps]) {
      await stage.start();
      await stage.leave(old);
    }
  },
  (_stage, judged, dropped) => {
    assert.deepEqual(dropped, { busy: 0, idle: 0 });
    assert.equal(judged.counts.failed, 0);
    assert.ok(adopted(judged) >= 60, `${adopted(judged)} were adopted`);
  },
);

withStage(
  "the only app server restarts: its clients wait for it",
  { servers: (stage) => stage.start() },
  async (stage, only) => {
    await stage.leave(only);
    await until("sessions that wait", async () => (await waiting(stage)) === 60);
    await stage.start();
    await until("the waiting messages", () => stage.clients.every(({ pending }) => pending === 0));
  },
  (_stage, judged, dropped) => {
    assert.deepEqual(dropped, { busy: 0, idle: 0 });
    assert.equal(adopted(judged), 60);
  },
);

withStage(
  "a trunk's stream is cut: it is resumed, and nobody notices",
  {
    servers: async (stage) => {
      stage.proxy = await CuttingProxy.start(new URL(stage.url).port);
      await stage.start(stage.proxy.url);
      await stage.start();
    },
  },
  async (stage) => {
    stage.proxy.goAway();
    await until("the node's word", () => stage.node.log.count(/stream broke; it may continue/) > 0);
    stage.proxy.comeBack();
    await until("the waiting messages", () => stage.clients.every(({ pending }) => pending === 0));
    assert.equal((await stage.apps[0].run(({ trunkline }) => trunkline.stats)).resumed, 1);
  },
  (_stage, judged, dropped) => {
    assert.deepEqual(dropped, { busy: 0, idle: 0 });
    assert.equal(adopted(judged), 0);
    assert.equal(judged.counts.failed, 0);
  },
);

withWorld(
  "the page's example: nobody is told twice that somebody came or went",
  { app: "deployed", servers: ["amber"], options: RECOVERY, trunklineOnly: true },
  async (world) => {
    const heard = [];
    const ada = await world.client("/", { ...TRANSPORTS.websocket, auth: { name: "Ada" } });
    ada.onAny((event, ...values) => event !== "tick" && heard.push([event, values[0]]));
    const grace = await world.client("/", { ...TRANSPORTS.polling, auth: { name: "Grace" } });
    await until("Grace", () => heard.some(([event]) => event === "came"));
    heard.length = 0;
    const { id } = grace;
    await world.startApp({ name: "cobalt", app: "deployed", options: RECOVERY });
    await world.app("amber").run(({ io }) => new Promise((done) => io.close(() => done())));
    const rooms = ({ io }) => [...io.sockets.sockets.values()].map(({ rooms: all }) => [...all].sort());
    await until(
      "both sockets at the other app server",
      async () => (await world.app("cobalt").run(rooms)).length === 2,
    );
    assert.deepEqual(
      (await world.app("cobalt").run(rooms)).sort(),
      [[ada.id, "team:red"].sort(), [id, "team:red"].sort()].sort(),
    );
    grace.disconnect();
    await until("her end", () => heard.length > 0);
    assert.deepEqual(heard, [["went", "Grace"]]);
  },
);
