// How sockets end, from either side, with Socket.IO's reasons on both sides.
import assert from "node:assert/strict";
import { next, until } from "../../testing/wait.mjs";
import { inWorld, withWorld } from "../harness/test.mjs";
import { PLAIN, TRANSPORTS } from "../harness/world.mjs";

for (const [mode, transports] of Object.entries(TRANSPORTS)) {
  inWorld(
    `disconnect over ${mode}`,
    { servers: ["amber"], options: { pingInterval: 400, pingTimeout: 400 } },
    (test) => {
      const cases = [
        {
          name: "socket.disconnect()",
          act: (client, app) => app.run(({ io }, id) => void io.sockets.sockets.get(id).disconnect(), client.id),
          reasons: ["io server disconnect", "server namespace disconnect"],
        },
        {
          name: "socket.disconnect(true)",
          act: (client, app) => app.run(({ io }, id) => void io.sockets.sockets.get(id).disconnect(true), client.id),
          reasons: ["io server disconnect", "server namespace disconnect"],
        },
        {
          name: "the client's disconnect()",
          act: (client) => client.disconnect(),
          reasons: ["io client disconnect", "client namespace disconnect"],
        },
        {
          name: "the client's engine closes",
          act: (client) => client.io.engine.close(),
          reasons: ["forced close", "transport close"],
        },
        {
          name: "socket.conn.close()",
          act: (client, app) => app.run(({ io }, id) => void io.sockets.sockets.get(id).conn.close(), client.id),
          reasons: ["transport close", "forced close"],
        },
        {
          name: "the client answers no pings",
          act: (client) => {
            // Like a machine that fell asleep: it sends nothing any more.
            client.io.engine.write = client.io.engine._sendPacket = () => {};
            client.io.engine.transport.send = client.io.engine.transport.write = () => {};
          },
          reasons: [undefined, "ping timeout"],
        },
      ];
      for (const { name, act, reasons } of cases) {
        test(name, async (world) => {
          const [app] = world.apps;
          const client = await world.client("/", transports);
          const { id } = client;
          const atClient = next(client, "disconnect");
          await act(client, app);
          const [clientReason, appReason] = reasons;
          if (clientReason !== undefined) assert.equal((await atClient)[0], clientReason, "the client's reason");
          const seen = await app.noted("disconnect", (note) => note.id === id);
          assert.equal(seen.reason, appReason, "the app's reason");
          // When its last socket is gone, the client closes the session.
          if (clientReason !== undefined)
            await until("the session's end", () => client.io.engine.readyState === "closed");
          const gone = ({ io }, id) => !io.sockets.sockets.has(id) && !io.sockets.adapter.sids.has(id);
          assert.equal(await app.run(gone, id), true, "no trace is left in the app's view");
          atClient.catch(() => {});
        });
      }

      test("disconnect() of one namespace leaves the other", async (world) => {
        const main = await world.client("/", transports);
        const other = main.io.socket("/static");
        await next(other, "connect");
        const ended = next(other, "disconnect");
        await world.apps[0].run(({ io }, id) => void io.of("/static").sockets.get(id).disconnect(), other.id);
        assert.deepEqual((await ended)[0], "io server disconnect");
        assert.equal(await main.emitWithAck("echo", 1), 1);
      });

      test("disconnect(true) ends every namespace of the session", async (world) => {
        const main = await world.client("/", transports);
        const other = main.io.socket("/static");
        await next(other, "connect");
        const { id } = main;
        const ended = Promise.all([next(main, "disconnect"), next(other, "disconnect")]);
        await world.apps[0].run(({ io }, id) => void io.of("/static").sockets.get(id).disconnect(true), other.id);
        assert.deepEqual(
          (await ended).map(([reason]) => reason),
          ["io server disconnect", "io server disconnect"],
        );
        const seen = await world.apps[0].noted("disconnect", (note) => note.id === id);
        assert.equal(seen.reason, "server namespace disconnect");
      });

      test("disconnecting still knows the rooms", async (world) => {
        const client = await world.client("/", transports);
        const { id } = client;
        await client.emitWithAck("join", "club");
        client.disconnect();
        const seen = await world.apps[0].noted("disconnecting", (note) => note.id === id);
        assert.deepEqual(seen.rooms, [id, "club"]);
      });

      test("what was emitted before disconnect(true) arrives before it", async (world) => {
        const client = await world.client("/", transports);
        const heard = [];
        client.on("repeat", (number) => heard.push(number));
        const ended = next(client, "disconnect");
        await world.apps[0].run(({ io }, id) => {
          const socket = io.sockets.sockets.get(id);
          for (let number = 0; number < 20; number += 1) socket.emit("repeat", number);
          socket.disconnect(true);
        }, client.id);
        await ended;
        assert.deepEqual(heard, [...Array(20).keys()]);
      });

      test("a client that comes back: the app sees the old end before the new beginning", async (world) => {
        const client = await world.client("/", { ...transports, reconnection: true, reconnectionDelay: 1 });
        const { id } = client;
        client.io.engine.close();
        await next(client, "connect");
        await world.apps[0].noted("connection", (note) => note.id === client.id);
        const order = world.apps[0].notes
          .filter(({ data }) => data.id === id || data.id === client.id)
          .map(({ kind, data }) => `${kind} ${data.id}`);
        assert.ok(order.indexOf(`disconnect ${id}`) < order.indexOf(`connection ${client.id}`), order.join(", "));
      });
    },
  );

  withWorld(
    `io.close() over ${mode} ends the clients, the trunk and the process`,
    { servers: ["amber"] },
    async (world) => {
      const [app] = world.apps;
      const client = await world.client("/", transports);
      const { id } = client;
      const ended = next(client, "disconnect");
      const exited = next(app.child, "exit");
      await app.run(({ io }) => {
        // Without the channel to the test, only Socket.IO could keep the process alive.
        io.close(() => process.disconnect());
      });
      // Plain Socket.IO also closes its HTTP server during the client's poll.
      assert.match((await ended)[0], PLAIN ? /^transport (close|error)$/ : /^transport close$/);
      const seen = await app.noted("disconnect", (note) => note.id === id);
      assert.equal(seen.reason, "server shutting down");
      assert.deepEqual(await exited, [0, null]);
    },
  );
}
