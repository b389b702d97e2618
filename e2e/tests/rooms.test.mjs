// Rooms and broadcasts: who hears what, across app servers.
import assert from "node:assert/strict";
import { until } from "../../testing/wait.mjs";
import { inWorld } from "../harness/test.mjs";
import { PLAIN, TRANSPORTS } from "../harness/world.mjs";

const SERVERS = ["amber", "cobalt"];

/** Four clients, two on each app server, in rooms: a: r1, b: r2, c: r1+r2, d: none. */
async function four(world, transports) {
  const clients = {};
  const homes = {};
  for (const name of ["a", "b", "c", "d"]) {
    clients[name] = await world.client("/", transports);
    homes[name] = await clients[name].emitWithAck("server");
  }
  for (const [name, room] of [["a", "r1"], ["b", "r2"], ["c", "r1"], ["c", "r2"]]) {
    assert.equal(await clients[name].emitWithAck("join", room), true, "the app's view is right at once");
  }
  const heard = [];
  for (const [name, client] of Object.entries(clients)) client.on("hear", (what) => heard.push(`${name}:${what}`));
  return { clients, homes, heard };
}

for (const [mode, transports] of Object.entries(TRANSPORTS)) {
  inWorld(`rooms over ${mode}`, { servers: SERVERS }, (test) => {
    test("new sessions are spread over the app servers", async (world) => {
      const { homes } = await four(world, transports);
      assert.equal(new Set(Object.values(homes)).size, PLAIN ? 1 : 2);
    });

    const cases = [
      ["io.emit", ({ io }) => io.emit("hear", "x"), "abcd"],
      ["io.to(room)", ({ io }) => io.to("r1").emit("hear", "x"), "ac"],
      ["io.in(room)", ({ io }) => io.in("r2").emit("hear", "x"), "bc"],
      ["io.to two rooms, each client once", ({ io }) => io.to("r1").to("r2").emit("hear", "x"), "abc"],
      ["io.to a list of rooms", ({ io }) => io.to(["r1", "r2"]).emit("hear", "x"), "abc"],
      ["io.except(room)", ({ io }) => io.except("r1").emit("hear", "x"), "bd"],
      ["io.to(room).except(room)", ({ io }) => io.to("r1").except("r2").emit("hear", "x"), "a"],
      ["a room that nobody is in", ({ io }) => io.to("r3").emit("hear", "x"), ""],
      ["io.to(a client's id)", ({ io }, ids) => io.to(ids.d).emit("hear", "x"), "d"],
      ["socket.broadcast", ({ io }, ids) => find(io, ids).broadcast.emit("hear", "x"), "-"],
      ["socket.to(room)", ({ io }, ids) => find(io, ids).to("r1").emit("hear", "x"), "-r1"],
      ["socket.except(room)", ({ io }, ids) => find(io, ids).except("r1").emit("hear", "x"), "-!r1"],
    ];
    const ALL = "abcd";
    const MEMBERS = { r1: "ac", r2: "bc" };
    for (const [name, code, expected] of cases) {
      test(`${name}, from every app server`, async (world) => {
        const { clients, homes, heard } = await four(world, transports);
        const ids = Object.fromEntries(Object.entries(clients).map(([name, { id }]) => [name, id]));
        for (const app of world.apps) {
          heard.length = 0;
          // The sender is a client of this app server.
          const sender = Object.keys(homes).find((name) => homes[name] === app.name);
          const source = String(code).replace("find(io, ids)", "io.sockets.sockets.get(ids.sender)");
          await app.run(source, { ...ids, sender: ids[sender] });
          // What was broadcast before this is there when this is.
          const others = new Set(Object.keys(clients));
          for (const [name, client] of Object.entries(clients)) client.once("flush", () => others.delete(name));
          await app.run(({ io }) => io.emit("flush"));
          await until("the broadcast after it", () => others.size === 0);
          const wanted = [...ALL].filter((name) => {
            if (!expected.startsWith("-")) return expected.includes(name);
            if (name === sender) return false;
            const room = MEMBERS[expected.slice(-2)];
            return room === undefined || expected.includes("!") !== room.includes(name);
          });
          assert.deepEqual(heard.sort(), wanted.map((name) => `${name}:x`), `sent by ${app.name}`);
        }
      });
    }

    test("leave, and the end of a socket, end its membership", async (world) => {
      const { clients, heard } = await four(world, transports);
      assert.equal(await clients.a.emitWithAck("leave", "r1"), true);
      clients.c.disconnect();
      await until("the app's view", async () => {
        const sizes = await Promise.all(world.apps.map((app) => app.run(({ io }) => io.sockets.adapter.rooms.has("r1"))));
        return sizes.every((has) => !has);
      });
      await world.apps[0].run(({ io }) => void io.to("r1").emit("hear", "x"));
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
      assert.deepEqual(heard.sort(), [["main", "end"], ["one", 1, 2, 3], ["one", "end"], ["two", 1, 2, 3], ["two", "end"]]);
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
