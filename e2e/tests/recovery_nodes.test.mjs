// Connection state recovery with two nodes: a client that returns to the other one, or to both.
import assert from "node:assert/strict";
import test, { after, before, describe } from "node:test";
import { io as connect } from "socket.io-client";
import { until } from "../../testing/wait.mjs";
import { World } from "../harness/world.mjs";

const RETURNS = 6;
const CLIENTS = 5;
const OPTIONS = { connectionStateRecovery: { maxDisconnectionDuration: 60_000, skipMiddlewares: false } };

class Client {
  heard = [];
  connects = [];
  ends = [];

  constructor(world, name, node, auth = {}) {
    this.world = world;
    this.name = name;
    this.socket = connect(world.nodes[node].url, {
      transports: ["websocket"],
      forceNew: true,
      reconnection: false,
      auth: { client: name },
    });
    Object.assign(this.socket, auth);
    this.socket.on("message", (server, number) => this.heard.push([server, number]));
    this.socket.on("connect", () => this.connects.push({ id: this.socket.id, recovered: this.socket.recovered }));
    this.socket.on("disconnect", (reason) => this.ends.push(reason));
  }

  /** Loses its connection, and returns at this node. */
  async move(node) {
    const before = this.connects.length;
    this.socket.io.engine.close();
    this.socket.io.uri = this.world.nodes[node].url;
    this.socket.connect();
    await until("the return", () => this.connects.length > before);
  }

  /** The numbers that it received from one app server. */
  of(server) {
    return this.heard.filter(([name]) => name === server).map(([, number]) => number);
  }
}

/** The places where numbers do not follow one another. */
function faults(numbers) {
  return numbers.flatMap((number, index) =>
    index > 0 && number !== numbers[index - 1] + 1 ? [`${numbers[index - 1]} ${number}`] : [],
  );
}

describe("two nodes, two app servers, a middleware of 10 ms", () => {
  let world;
  const clients = [];
  before(async () => {
    world = await World.start({
      nodes: 2,
      servers: ["amber", "cobalt"],
      threads: 2,
      app: "returning",
      options: OPTIONS,
    });
  });
  after(async () => {
    for (const { socket } of clients) socket.disconnect();
    await world.stop();
  });
  const client = (...args) => {
    const one = new Client(world, ...args);
    clients.push(one);
    return one;
  };
  const everyApp = (run, argument) => Promise.all(world.apps.map((app) => app.run(run, argument)));

  test(`${CLIENTS * RETURNS} returns at the other node while broadcasts go on: all recovered, no gap, no double`, async () => {
    const some = Array.from({ length: CLIENTS }, (_, index) => client(`mover ${index}`, index % 2));
    await everyApp(({ cast }) => cast(1));
    await until("their first broadcasts", () =>
      some.every((one) => one.of("amber").length > 0 && one.of("cobalt").length > 0),
    );
    await Promise.all(
      some.map(async (one, index) => {
        for (let turn = 1; turn <= RETURNS; turn += 1) {
          await one.move((index + turn) % 2);
          const seen = one.heard.length;
          await until("broadcasts there", () => one.heard.length > seen + 10);
        }
      }),
    );
    const [amber, cobalt] = await everyApp(({ cast }) => cast(0));
    await until("the last broadcasts", () =>
      some.every((one) => one.of("amber").at(-1) === amber && one.of("cobalt").at(-1) === cobalt),
    );
    for (const one of some) {
      // First this: a gap is a fault of another kind when the client was told that it is new.
      assert.deepEqual(
        one.connects.slice(1).map(({ recovered }) => recovered),
        Array(RETURNS).fill(true),
        one.name,
      );
      assert.deepEqual([faults(one.of("amber")), faults(one.of("cobalt"))], [[], []], one.name);
      assert.equal(new Set(one.connects.map(({ id }) => id)).size, 1, one.name);
      one.socket.disconnect();
    }
  });

  test("a private id that comes back at both nodes: the later one takes over, the earlier one ends, nobody is there twice", async () => {
    const first = client("first", 0);
    await until("the connection", () => first.connects.length === 1);
    await world.apps[0].run(({ once }) => once());
    await until("its offset", () => first.heard.length === 1);
    const { id, _pid, _lastOffset } = first.socket;
    first.socket.io.engine.close();
    await until("its end", async () =>
      (await everyApp(({ io }, gone) => io.sockets.sockets.has(gone), id)).every((there) => !there),
    );
    const earlier = client("earlier", 0, { _pid, _lastOffset });
    await until("the earlier one", () => earlier.connects.length === 1);
    assert.deepEqual(earlier.connects[0], { id, recovered: true });
    const later = client("later", 1, { _pid, _lastOffset });
    await until("the later one", () => later.connects.length === 1);
    await until("the end of the earlier one", () => earlier.ends.length === 1);
    assert.deepEqual(later.connects[0], { id, recovered: true });
    assert.equal(earlier.ends[0], "io server disconnect");
    const fetched = await world.apps[0].run(async ({ io }) =>
      (await io.fetchSockets()).map((socket) => [socket.id, socket.handshake.auth.client]),
    );
    assert.deepEqual(fetched, [[id, "later"]]);
    for (const app of world.apps) await app.run(({ once }) => once());
    await until("broadcasts", () => later.heard.length === 2);
    assert.equal(earlier.heard.length, 0);
    later.socket.disconnect();
  });

  test("both at the same time: one of them is left", async () => {
    const first = client("first", 0);
    await until("the connection", () => first.connects.length === 1);
    await world.apps[0].run(({ once }) => once());
    await until("its offset", () => first.heard.length === 1);
    const { _pid, _lastOffset } = first.socket;
    first.socket.io.engine.close();
    const both = [0, 1].map((node) => client(`at ${node}`, node, { _pid, _lastOffset }));
    await until("one of them", () => both.some(({ connects }) => connects.length > 0));
    await until("one socket", async () => {
      const ids = await world.apps[0].run(async ({ io }) => (await io.fetchSockets()).map((socket) => socket.id));
      // Whichever came when the other had been restored is a new socket.
      const fresh = both.filter(({ socket }) => socket.connected && !socket.recovered).length;
      return fresh < 2 && ids.length === 1 + fresh && new Set(ids).size === ids.length;
    });
    for (const { socket } of both) socket.disconnect();
  });

  test("a node that was restarted meanwhile knows too little: a new socket, at once", async () => {
    const one = client("stranger", 0);
    await until("the connection", () => one.connects.length === 1);
    await everyApp(({ once }) => once());
    await until("its offset", () => one.heard.length === 2);
    const { port } = world.nodes[1];
    await world.nodes[1].stop("SIGKILL");
    await everyApp(({ once }) => once());
    await until("broadcasts without that node", () => one.heard.length === 4);
    const { startNode } = await import("../harness/node.mjs");
    world.nodes[1] = await startNode({ listen: `127.0.0.1:${port}` });
    // The app servers count a trunk whose stream broke as up until it cannot be resumed any more.
    await until("the trunks", async () => {
      const status = await (await fetch(`${world.nodes[1].adminUrl}/api/v1/status`)).json();
      return status.hubs[0].app_servers.length === 2;
    });
    await everyApp(({ once }) => once());
    await one.move(1);
    const seen = one.heard.length;
    await everyApp(({ once }) => once());
    await until("broadcasts at the new node", () => one.heard.length >= seen + 2);
    // The apps' trunks delivered what was sent meanwhile, so recovery may be proved; if it is, nothing is missing.
    if (one.connects.at(-1).recovered) assert.deepEqual([faults(one.of("amber")), faults(one.of("cobalt"))], [[], []]);
    else assert.notEqual(one.connects.at(-1).id, one.connects[0].id);
    assert.equal(one.ends.length, 1);
  });
});
