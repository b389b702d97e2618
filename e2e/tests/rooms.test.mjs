// Rooms and broadcasts: which clients receive what, across app servers.
import assert from "node:assert/strict";
import { until } from "../../testing/wait.mjs";
import { inWorld } from "../harness/test.mjs";
import { PLAIN, TRANSPORTS } from "../harness/world.mjs";

const SERVERS = ["amber", "cobalt"];

/** Four clients, two on each app server, and the rooms that they are in. */
const ROOMS_OF = { a: ["red"], b: ["blue"], c: ["red", "blue"], d: [] };
const EVERYBODY = Object.keys(ROOMS_OF);
const membersOf = (room) => EVERYBODY.filter((name) => ROOMS_OF[name].includes(room));
const except = (...names) => EVERYBODY.filter((name) => !names.includes(name));

/** Connects the four and lets them join their rooms. `homes` says which app server each one has. */
async function four(world, transports) {
  const clients = {};
  const homes = {};
  for (const [name, rooms] of Object.entries(ROOMS_OF)) {
    clients[name] = await world.client("/", transports);
    homes[name] = await clients[name].emitWithAck("server");
    for (const room of rooms) {
      assert.equal(await clients[name].emitWithAck("join", room), true, "the app's view is right at once");
    }
  }
  const heard = [];
  for (const [name, client] of Object.entries(clients)) client.on("hear", (what) => heard.push(`${name}:${what}`));
  return { clients, homes, heard };
}

/** Broadcasts inside an app server, and who receives them. */
const BROADCASTS = [
  ["io.emit", ({ io }) => io.emit("hear", "x"), EVERYBODY],
  ["io.to(room)", ({ io }) => io.to("red").emit("hear", "x"), membersOf("red")],
  ["io.in(room)", ({ io }) => io.in("blue").emit("hear", "x"), membersOf("blue")],
  ["io.to two rooms, each client once", ({ io }) => io.to("red").to("blue").emit("hear", "x"), ["a", "b", "c"]],
  ["io.to a list of rooms", ({ io }) => io.to(["red", "blue"]).emit("hear", "x"), ["a", "b", "c"]],
  ["io.except(room)", ({ io }) => io.except("red").emit("hear", "x"), except(...membersOf("red"))],
  ["io.to(room).except(room)", ({ io }) => io.to("red").except("blue").emit("hear", "x"), ["a"]],
  ["a room that nobody is in", ({ io }) => io.to("green").emit("hear", "x"), []],
  ["io.to(a client's id)", ({ io }, { idOf }) => io.to(idOf.d).emit("hear", "x"), ["d"]],
];

/** Broadcasts of one socket of an app server, and who receives them, given the socket's client. */
const BROADCASTS_OF_A_SOCKET = [
  [
    "socket.broadcast",
    ({ io }, { senderId }) => io.sockets.sockets.get(senderId).broadcast.emit("hear", "x"),
    (sender) => except(sender),
  ],
  [
    "socket.to(room)",
    ({ io }, { senderId }) => io.sockets.sockets.get(senderId).to("red").emit("hear", "x"),
    (sender) => membersOf("red").filter((name) => name !== sender),
  ],
  [
    "socket.except(room)",
    ({ io }, { senderId }) => io.sockets.sockets.get(senderId).except("red").emit("hear", "x"),
    (sender) => except(sender, ...membersOf("red")),
  ],
];

for (const [mode, transports] of Object.entries(TRANSPORTS)) {
  inWorld(`rooms over ${mode}`, { servers: SERVERS }, (test) => {
    test("new sessions are spread over the app servers", async (world) => {
      const { homes } = await four(world, transports);
      assert.equal(new Set(Object.values(homes)).size, PLAIN ? 1 : 2);
    });

    const ofAnyApp = BROADCASTS.map(([name, code, receivers]) => [name, code, () => receivers]);
    for (const [name, code, receiversOf] of [...ofAnyApp, ...BROADCASTS_OF_A_SOCKET]) {
      test(`${name}, from every app server`, async (world) => {
        const { clients, homes, heard } = await four(world, transports);
        const idOf = Object.fromEntries(Object.entries(clients).map(([client, { id }]) => [client, id]));
        for (const app of world.apps) {
          heard.length = 0;
          // The sender is a client of this app server.
          const sender = EVERYBODY.find((client) => homes[client] === app.name);
          await app.run(code, { idOf, senderId: idOf[sender] });
          // Earlier broadcasts have arrived when this one has.
          const others = new Set(EVERYBODY);
          for (const client of EVERYBODY) clients[client].once("flush", () => others.delete(client));
          await app.run(({ io }) => io.emit("flush"));
          await until("the broadcast after it", () => others.size === 0);
          const expected = receiversOf(sender).map((client) => `${client}:x`);
          assert.deepEqual(heard.sort(), expected, `sent by ${app.name}`);
        }
      });
    }

    test("leave, and the end of a socket, end its membership", async (world) => {
      const { clients, heard } = await four(world, transports);
      assert.equal(await clients.a.emitWithAck("leave", "red"), true);
      clients.c.disconnect();
      await until("the app's view", async () => {
        const sizes = await Promise.all(
          world.apps.map((app) => app.run(({ io }) => io.sockets.adapter.rooms.has("red"))),
        );
        return sizes.every((has) => !has);
      });
      await world.apps[0].run(({ io }) => void io.to("red").emit("hear", "x"));
      await world.apps[0].run(({ io }) => io.emit("hear", "last"));
      await until("the last", () => heard.filter((what) => what.endsWith(":last")).length === 3);
      assert.deepEqual(heard.sort(), ["a:last", "b:last", "d:last"]);
    });

    test("emit, join, broadcast and leave take effect in the app's order", async (world) => {
      const client = await world.client("/", transports);
      const heard = [];
      client.on("hear", (what) => heard.push(what));
      for (const app of world.apps) {
        await app.run(({ io }, id) => {
          const socket = io.sockets.sockets.get(id);
          if (!socket) return;
          for (let round = 0; round < 50; round += 1) {
            io.to("club").emit("hear", `outside ${round}`);
            socket.emit("hear", `before ${round}`);
            socket.join("club");
            io.to("club").emit("hear", `inside ${round}`);
            socket.leave("club");
          }
          socket.emit("hear", "end");
        }, client.id);
      }
      await until("the end", () => heard.at(-1) === "end");
      const expected = Array.from({ length: 50 }, (_, round) => [`before ${round}`, `inside ${round}`]).flat();
      assert.deepEqual(heard, [...expected, "end"]);
    });

    test("binary and namespaces in broadcasts", async (world) => {
      const main = await world.client("/", transports);
      const one = await world.client("/dynamic-1", transports);
      const two = await world.client("/dynamic-1", transports);
      const heard = [];
      for (const [name, client] of Object.entries({ main, one, two })) {
        client.on("bytes", ({ bytes }) => heard.push([name, ...bytes]));
        client.on("end", () => heard.push([name, "end"]));
      }
      await world.apps[0].run(({ io }) => {
        io.of("/dynamic-1").emit("bytes", { bytes: Buffer.from([1, 2, 3]) });
        io.of("/dynamic-1").emit("end");
        io.emit("end");
      });
      await until("all", () => heard.length === 5);
      assert.deepEqual(heard.sort(), [
        ["main", "end"],
        ["one", 1, 2, 3],
        ["one", "end"],
        ["two", 1, 2, 3],
        ["two", "end"],
      ]);
    });

    test("a volatile broadcast reaches idle clients", async (world) => {
      const { clients, heard } = await four(world, transports);
      await until("everybody", async () => {
        await world.apps[0].run(({ io }) => io.volatile.emit("hear", "v"));
        return Object.keys(clients).every((name) => heard.includes(`${name}:v`));
      });
    });
  });
}
