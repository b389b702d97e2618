// Messages between client and app: events, acknowledgements, binary, volatile.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { next, until } from "../../testing/wait.mjs";
import { inWorld } from "../harness/test.mjs";
import { TRANSPORTS } from "../harness/world.mjs";

const VALUES = [0, -1.5, "", "text", "ünïcödé 🚂 \u2028", true, null, [], {}, [1, [2, [3]]], { deep: { er: ["x"] } }];

for (const [mode, transports] of Object.entries(TRANSPORTS)) {
  inWorld(`events over ${mode}`, { servers: ["amber"] }, (test) => {
    test("events with every kind of argument, both ways", async (world) => {
      const client = await world.client("/", transports);
      const answer = next(client, "repeat");
      client.emit("repeat", ...VALUES);
      assert.deepEqual(await answer, VALUES);
    });

    test("hundreds of events keep their order, both ways", async (world) => {
      const client = await world.client("/", transports);
      const heard = [];
      client.on("repeat", (number) => heard.push(number));
      for (let number = 0; number < 500; number += 1) client.emit("repeat", number);
      await until("all of them", () => heard.length === 500);
      assert.deepEqual(heard, [...heard.keys()]);
    });

    test("megabytes in one turn of the app all reach a client that reads", async (world) => {
      const client = await world.client("/", transports);
      const heard = [];
      client.on("piece", (number, bytes) => heard.push([number, bytes.length]));
      await world.apps[0].run(({ io }, id) => {
        const socket = io.sockets.sockets.get(id);
        for (let number = 0; number < 120; number += 1) socket.emit("piece", number, Buffer.alloc(65_536, number));
      }, client.id);
      await until("all pieces", () => heard.length === 120);
      assert.deepEqual(
        heard,
        heard.map((_, number) => [number, 65_536]),
      );
      assert.equal(client.connected, true);
    });

    test("a client's acknowledgement, with several values", async (world) => {
      const client = await world.client("/", transports);
      const answer = await new Promise((done) => client.emit("echo", 1, "two", [3], (...values) => done(values)));
      assert.deepEqual(answer, [1, "two", [3]]);
    });

    test("the app's acknowledgement", async (world) => {
      const client = await world.client("/", transports);
      client.on("question", (value, answer) => answer({ twice: value * 2 }));
      const ask = ({ io }, id) => io.sockets.sockets.get(id).emitWithAck("question", 21);
      assert.deepEqual(await world.apps[0].run(ask, client.id), { twice: 42 });
    });

    test("acknowledgements that never come time out, on either side", async (world) => {
      const client = await world.client("/", transports);
      client.on("never", () => {});
      await assert.rejects(client.timeout(30).emitWithAck("never"), /operation has timed out/);
      const ask = async ({ io }, id) => {
        const late = await io.sockets.sockets
          .get(id)
          .timeout(30)
          .emitWithAck("never")
          .catch((error) => error);
        return late.message;
      };
      assert.match(await world.apps[0].run(ask, client.id), /operation has timed out/);
      assert.equal(await client.timeout(10_000).emitWithAck("echo", "in time"), "in time");
    });

    test("binary, nested, with many attachments, both ways", async (world) => {
      const client = await world.client("/", transports);
      const pieces = Array.from({ length: 8 }, (_, number) => randomBytes(number * 1037));
      const value = { pieces, nested: [{ a: pieces[3] }, "between"], number: 5 };
      assert.deepEqual(await client.emitWithAck("echo", value), value);
      const answer = next(client, "repeat");
      client.emit("repeat", value, pieces[1]);
      assert.deepEqual(await answer, [value, pieces[1]]);
    });

    test("large binary and text", async (world) => {
      const client = await world.client("/", transports);
      for (const value of [randomBytes(600_000), "é".repeat(300_000)]) {
        assert.deepEqual(await client.emitWithAck("echo", value), value);
      }
    });

    test("binary in the app's own emit and in its acknowledgement", async (world) => {
      const client = await world.client("/", transports);
      client.on("picture", (bytes, answer) => answer(Buffer.concat([bytes, bytes])));
      const ask = async ({ io }, id) => {
        const answer = await io.sockets.sockets.get(id).emitWithAck("picture", Buffer.from([1, 2, 255]));
        return Buffer.isBuffer(answer) && [...answer];
      };
      assert.deepEqual(await world.apps[0].run(ask, client.id), [1, 2, 255, 1, 2, 255]);
    });

    test("typed arrays arrive as their bytes", async (world) => {
      const client = await world.client("/", transports);
      const answer = await client.emitWithAck("echo", new Uint8Array([0, 1, 2]));
      assert.deepEqual([...answer], [0, 1, 2]);
    });

    test("volatile reaches an idle client, and is dropped whole when something is unsent", async (world) => {
      const client = await world.client("/", transports);
      const heard = [];
      client.on("cursor", (number, bytes) => heard.push([number, bytes.length]));
      const burst = ({ io }, id) => {
        const socket = io.sockets.sockets.get(id);
        for (let number = 0; number < 50; number += 1) socket.volatile.emit("cursor", number, Buffer.alloc(10));
        socket.emit("end");
      };
      await until("one that finds the client idle", async () => {
        const end = next(client, "end");
        await world.apps[0].run(burst, client.id);
        await end;
        return heard.length > 0;
      });
      assert.ok(heard.length < 50, `${heard.length} of 50 came, though all but the first found something unsent`);
      for (const [, length] of heard) assert.equal(length, 10);
    });

    test("compress(false), send and onAny work as ever", async (world) => {
      const client = await world.client("/", transports);
      const heard = [];
      client.onAny((...args) => heard.push(args));
      await world.apps[0].run(({ io }, id) => {
        io.sockets.sockets.get(id).compress(false).emit("small", 1);
        io.sockets.sockets.get(id).send("hello");
      }, client.id);
      await until("both", () => heard.length === 2);
      assert.deepEqual(heard, [
        ["small", 1],
        ["message", "hello"],
      ]);
    });
  });
}
