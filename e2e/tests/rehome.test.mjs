// Clients whose app server leaves, dies or is started again: they stay connected.
import assert from "node:assert/strict";
import { once } from "node:events";
import { until } from "../../testing/wait.mjs";
import { withWorld } from "../harness/test.mjs";
import { TRANSPORTS } from "../harness/world.mjs";

const SETTINGS = {
  threads: 2,
  app: "moving",
  options: { connectionStateRecovery: { skipMiddlewares: true } },
  trunklineOnly: true,
};

/** A client that asks one question after another, each once. */
class Asker {
  asked = 0;
  answers = [];
  ends = [];
  connects = 1;
  servers = new Set();
  #goesOn = true;

  constructor(socket, name, event) {
    this.socket = socket;
    this.name = name;
    this.id = socket.id;
    socket.on("disconnect", (reason) => this.ends.push(reason));
    socket.on("connect", () => this.connects++);
    if (event !== undefined) this.over = this.#run(event);
  }

  static async open(world, name, transport, event, options = {}) {
    return new Asker(
      await world.client("/", { ...TRANSPORTS[transport], auth: { client: name }, ...options }),
      name,
      event,
    );
  }

  async #run(event) {
    while (this.#goesOn) {
      const number = this.asked++;
      // The callback, and not a promise: an answer that comes twice must be seen.
      const [server, echoed] = await new Promise((done) =>
        this.socket.emit(event, number, (...answer) => done(answer)),
      );
      this.servers.add(server);
      this.answers.push(echoed);
    }
  }

  stop() {
    this.#goesOn = false;
    return this.over;
  }

  /** Whether this app server has answered. */
  knows(server) {
    return this.servers.has(server);
  }
}

const numbers = (count) => Array.from({ length: count }, (_, number) => number);
const handledBy = async (app) => await app.run(({ handled }) => handled);

withWorld(
  "a planned deploy under load: nobody is disconnected, each question is handled and answered once",
  { ...SETTINGS, servers: ["amber", "cobalt"] },
  async (world) => {
    const askers = [];
    for (const transport of Object.keys(TRANSPORTS)) {
      for (const event of ["ask", "ask later"]) {
        for (let number = 0; number < 3; number += 1)
          askers.push(await Asker.open(world, `${transport} ${event} ${number}`, transport, event));
      }
    }
    await until("answers of both", () => new Set(askers.flatMap(({ servers }) => [...servers])).size === 2);
    // Some are in the middle of their upgrade.
    const { io, name } = {
      name: "upgrading",
      io: world.open("/", { ...TRANSPORTS.upgrade, auth: { client: "upgrading" } }),
    };
    await once(io, "connect");
    askers.push(new Asker(io, name, "ask"));
    const [amber, cobalt] = world.apps;
    const stats = await amber.run(async ({ io, trunkline }) => {
      await io.close();
      return trunkline.stats;
    });
    await until("answers of cobalt", () => askers.every((asker) => asker.knows("cobalt")));
    await Promise.all(askers.map((asker) => asker.stop()));
    const handled = [...(await handledBy(amber)), ...(await handledBy(cobalt))];
    const expected = askers.flatMap(({ name, asked }) => numbers(asked).map((number) => `${name} ${number}`));
    assert.deepEqual(handled.sort(), expected.sort());
    for (const { name, socket, id, ends, connects, answers, asked } of askers) {
      assert.deepEqual([ends, connects, socket.id], [[], 1, id], name);
      assert.deepEqual(answers, numbers(asked), name);
    }
    assert.ok(stats.handedOver > 0, "amber had clients");
    const moved = cobalt.notes.filter(({ kind, data }) => kind === "connected" && data.recovered);
    assert.equal(moved.length, stats.handedOver);
    for (const { data } of moved) {
      assert.deepEqual([data.rehomed, data.rooms, data.data.first], [true, [data.id, "everybody", 5], "amber"]);
    }
    const gone = amber.notes.filter(({ kind }) => kind === "disconnected").map(({ data }) => data);
    assert.deepEqual(
      gone.filter(({ reason, rehomed }) => reason !== "server shutting down" || !rehomed),
      [],
    );
  },
);

withWorld(
  "an app server that is killed: idle clients stay, one that is owed an answer comes back recovered",
  { ...SETTINGS, servers: ["amber", "cobalt"] },
  async (world) => {
    const returning = { reconnection: true, reconnectionDelay: 10 };
    const clients = [];
    for (let number = 0; number < 12; number += 1)
      clients.push(
        await Asker.open(world, `idle ${number}`, number % 2 ? "websocket" : "polling", undefined, returning),
      );
    const [amber, cobalt] = world.apps;
    const busy = await Asker.open(world, "busy", "websocket", undefined, returning);
    const isHome = ({ notes }) => notes.some(({ kind, data }) => kind === "connected" && data.client === "busy");
    const home = await until("its app server", () => world.apps.find(isHome));
    const other = home === amber ? cobalt : amber;
    for (const { socket } of clients) await socket.emitWithAck("ask", 1);
    await until("its offset", () => busy.socket._lastOffset !== undefined);
    let failed;
    busy.socket.timeout(15_000).emit("ask in vain", 2, (error) => (failed = error));
    await until("its question", async () => (await handledBy(home)).includes("busy 2"));
    // What it has in `data` by now is told within a second.
    await home.run(({ io, trunkline }) =>
      Promise.all([...io.sockets.sockets.values()].map((each) => trunkline.save(each))),
    );
    const moving = home.notes.filter(({ kind }) => kind === "connected").length;
    await home.stop("SIGKILL");
    const arrived = () => other.notes.filter(({ kind, data }) => kind === "connected" && data.recovered);
    await until("its clients at the other one", () => arrived().length === moving);
    for (const { data } of arrived()) {
      assert.equal(data.rehomed, data.client !== "busy", data.client);
      assert.deepEqual(
        [data.rooms, data.data],
        [[data.id, "everybody", 5], { first: home.name, last: data.client === "busy" ? 2 : 1 }],
      );
    }
    for (const { socket, id, ends, connects, name } of clients) {
      assert.deepEqual([ends, connects, socket.id], [[], 1, id], name);
      assert.deepEqual(await socket.emitWithAck("ask", 3), other.name);
    }
    await until("the busy one", () => busy.socket.connected && busy.connects === 2);
    assert.equal(busy.socket.recovered, true);
    assert.equal(busy.socket.id, busy.id);
    assert.deepEqual(busy.ends.length, 1);
    assert.ok(failed === undefined || failed instanceof Error);
  },
);

withWorld(
  "the only app server is started again: its clients wait for it",
  { ...SETTINGS, servers: ["amber"] },
  async (world) => {
    const clients = [];
    for (const transport of Object.keys(TRANSPORTS)) clients.push(await Asker.open(world, transport, transport, "ask"));
    await until("answers", () => clients.every((asker) => asker.knows("amber")));
    const [amber] = world.apps;
    await amber.run(({ io }) => io.close());
    await amber.stop("SIGTERM");
    await world.startApp({ ...SETTINGS, name: "cobalt" });
    await until("answers of the next one", () => clients.every((asker) => asker.knows("cobalt")));
    await Promise.all(clients.map((asker) => asker.stop()));
    for (const { ends, connects, answers, asked, name } of clients)
      assert.deepEqual([ends, connects, answers], [[], 1, numbers(asked)], name);
  },
);
