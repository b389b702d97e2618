// What an app server does to all sockets of its hub while some of them are on their way from one app server to another.
import assert from "node:assert/strict";
import { until } from "../../testing/wait.mjs";
import { withWorld } from "../harness/test.mjs";
import { TRANSPORTS } from "../harness/world.mjs";

const SETTINGS = {
  threads: 2,
  app: "moving",
  options: { connectionStateRecovery: { skipMiddlewares: true } },
  trunklineOnly: true,
};

/** A client of the app server that is up, and what it heard. */
async function join(world, name, transport = "websocket") {
  const socket = await world.client("/", { ...TRANSPORTS[transport], auth: { client: name } });
  const client = { name, socket, id: socket.id, heard: [], ends: [], connects: 0 };
  socket.on("news", (text) => client.heard.push(text));
  socket.on("disconnect", (reason) => client.ends.push(reason));
  socket.on("connect", () => client.connects++);
  return client;
}

/** The rooms of each client's socket at an app server. */
const roomsAt = (app) =>
  app.run(({ io }) =>
    Object.fromEntries(
      [...io.sockets.sockets.values()].map(({ handshake, rooms }) => [handshake.auth.client, [...rooms].map(String)]),
    ),
  );

withWorld(
  "rooms and disconnections of clients whose app server was killed, and that no other one has yet",
  // Nobody who says nothing gets another app server in the time of this test.
  { ...SETTINGS, servers: ["amber"], args: ["--rehome-per-second", "1"] },
  async (world) => {
    const [amber] = world.apps;
    const names = ["ada", "bell", "curie", "dirac", "euler", "fermi"];
    const clients = [];
    for (const [index, name] of names.entries())
      clients.push(await join(world, name, index % 2 ? "websocket" : "polling"));
    const [ada, bell, curie, dirac, euler, fermi] = clients;
    const cobalt = await world.startApp({ ...SETTINGS, name: "cobalt" });
    await amber.run(async ({ io, trunkline }) => {
      const sockets = [...io.sockets.sockets.values()];
      for (const socket of sockets.slice(0, 3)) socket.join("first");
      await Promise.all(sockets.map((socket) => trunkline.save(socket)));
    });
    await amber.stop("SIGKILL");
    const waiting = async () => (await world.node.metrics()).get("trunkline_homes_waiting");
    await until("sessions that wait", async () => (await waiting()) >= 5);
    // A client of its own, so that it can wait until the node's word has come.
    const own = await join(world, "own");
    await cobalt.run(
      async ({ io, trunkline }, { curie, dirac, own }) => {
        await trunkline.save(io.sockets.sockets.get(own));
        io.in("first").except(curie).socketsJoin("green");
        io.in("first").socketsLeave("everybody");
        io.in(curie).disconnectSockets();
        io.in(dirac).disconnectSockets(true);
        io.to("green").emit("news", "green");
        io.to("everybody").emit("news", "everybody");
        io.local.socketsJoin("local");
      },
      { curie: curie.id, dirac: dirac.id, own: own.id },
    );
    await until("what they hear of it", () => [euler, fermi].every(({ heard }) => heard.length > 0));
    assert.deepEqual(
      clients.map(({ heard }) => heard),
      [["green"], ["green"], [], [], ["everybody"], ["everybody"]],
    );
    // An app has told these clients, so they do not come back by themselves.
    for (const client of [curie, dirac]) {
      await until("its end", () => client.ends.length > 0);
      assert.deepEqual([client.ends, client.connects, client.heard], [["io server disconnect"], 0, []], client.name);
    }
    const rest = [ada, bell, euler, fermi];
    for (const { socket } of rest) assert.equal(await socket.emitWithAck("ask", 1), "cobalt");
    const rooms = await roomsAt(cobalt);
    assert.deepEqual(Object.keys(rooms).sort(), ["ada", "bell", "euler", "fermi", "own"]);
    assert.deepEqual(rooms.ada.slice(1).sort(), ["5", "first", "green"]);
    assert.deepEqual(rooms.euler.slice(1).sort(), ["5", "everybody"]);
    for (const { name, ends, connects } of rest) assert.deepEqual([ends, connects], [[], 0], name);
  },
);

withWorld(
  "rooms that change all the time while an app server leaves: no client misses a change",
  { ...SETTINGS, servers: ["amber"] },
  async (world) => {
    const [amber] = world.apps;
    const clients = [];
    for (let number = 0; number < 40; number += 1)
      clients.push(await join(world, `client ${number}`, number % 2 ? "websocket" : "polling"));
    const cobalt = await world.startApp({ ...SETTINGS, name: "cobalt" });
    const over = amber.run(({ io }) => io.close().then(() => true));
    const joined = await cobalt.run(async ({ io }, count) => {
      let turn = 0;
      const isOver = () => io.sockets.sockets.size === count;
      for (let rest = 20; rest > 0; rest -= isOver() ? 1 : 0) {
        turn += 1;
        io.socketsJoin(`room ${turn}`);
        if (turn > 1) io.in("everybody").socketsLeave(`room ${turn - 1}`);
        await new Promise((done) => setTimeout(done, 1));
      }
      return turn;
    }, clients.length);
    await over;
    const expected = ["5", "everybody", `room ${joined}`];
    await until("the last room", async () => {
      const rooms = await roomsAt(cobalt);
      return Object.values(rooms).every((all) => all.includes(`room ${joined}`));
    });
    const rooms = await roomsAt(cobalt);
    assert.equal(Object.keys(rooms).length, clients.length);
    for (const [name, all] of Object.entries(rooms)) assert.deepEqual(all.slice(1).sort(), expected, name);
    await cobalt.run(({ io }, room) => void io.to(room).emit("news", "last"), `room ${joined}`);
    await until("the news", () => clients.every(({ heard }) => heard.length > 0));
    for (const { name, ends, connects } of clients) assert.deepEqual([ends, connects], [[], 0], name);
  },
);
