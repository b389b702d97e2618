// Microsoft's SDK, unmodified, with the scenarios of its documentation: only the connection string is ours.
import assert from "node:assert/strict";
import { next, until } from "../../testing/wait.mjs";
import { inAzureWorld, withAzureWorld } from "../harness/azure.mjs";
import { TRANSPORTS, connected } from "../harness/world.mjs";

for (const [mode, transports] of Object.entries(TRANSPORTS)) {
  inAzureWorld(`Azure's SDK over ${mode}`, {}, (test) => {
    test("quickstart: a client connects, and both sides talk", async (world) => {
      const client = await world.client("/", transports);
      const { id, query } = await world.apps[0].noted("connection", ({ id }) => id === client.id);
      assert.equal(id, client.id);
      assert.equal(query.EIO, "4");
      const heard = next(client, "repeat");
      client.emit("repeat", "a", 1, { deep: [true, null] });
      assert.deepEqual(await heard, ["a", 1, { deep: [true, null] }]);
    });

    test("headers are what Node.js makes of them", async (world) => {
      const client = await world.client("/", { ...transports, extraHeaders: { cookie: "a=b", "x-own": "1" } });
      const { headers } = await world.apps[0].noted("connection", ({ id }) => id === client.id);
      assert.equal(headers.cookie, "a=b");
      assert.equal(headers["x-own"], "1");
      assert.match(headers["x-forwarded-for"], /127\.0\.0\.1$/);
    });

    test("chat: everybody hears, others hear", async (world) => {
      const [ann, bob] = [await world.client("/", transports), await world.client("/", transports)];
      const heard = [];
      for (const client of [ann, bob]) client.on("said", ({ text }) => heard.push(`${client.id}:${text}`));
      ann.emit("say", "all");
      ann.emit("say to others", "others");
      ann.emit("say", "end");
      await until("all of it", () => heard.length === 5);
      assert.deepEqual(
        heard.filter((line) => line.startsWith(ann.id)).map((line) => line.split(":")[1]),
        ["all", "end"],
      );
      assert.deepEqual(
        heard.filter((line) => line.startsWith(bob.id)).map((line) => line.split(":")[1]),
        ["all", "others", "end"],
      );
    });

    test("chat with acknowledgements, both ways and from all", async (world) => {
      const clients = [await world.client("/", transports), await world.client("/", transports)];
      assert.deepEqual(await clients[0].emitWithAck("echo", { a: 1 }), { a: 1 });
      clients.forEach((client, at) => client.on("question", (asked, answer) => answer(asked + at)));
      const one = await world.apps[0].run(
        ({ io }, id) => io.sockets.sockets.get(id).emitWithAck("question", 10),
        clients[0].id,
      );
      assert.equal(one, 10);
      const all = await world.apps[0].run(({ io }) => io.timeout(5000).emitWithAck("question", 20));
      assert.deepEqual(all.sort(), [20, 21]);
    });

    test("an acknowledgement that does not come: the others do, with an error", async (world) => {
      const [ann, bob] = [await world.client("/", transports), await world.client("/", transports)];
      ann.on("question", (answer) => answer("ann"));
      bob.on("question", () => {});
      const result = await world.apps[0].run(
        ({ io }) =>
          new Promise((done) => {
            io.timeout(500).emit("question", (error, answers) => done({ error: error?.message, answers }));
          }),
      );
      assert.deepEqual(result, { error: "operation has timed out", answers: ["ann"] });
    });

    test("binary, both ways, in acknowledgements of many, too", async (world) => {
      const client = await world.client("/", transports);
      const bytes = Buffer.from([0, 1, 2, 255, 30]);
      const heard = next(client, "repeat");
      client.emit("repeat", bytes, "between", bytes);
      const [first, text, second] = await heard;
      assert.deepEqual([Buffer.from(first), text, Buffer.from(second)], [bytes, "between", bytes]);
      assert.deepEqual(Buffer.from(await client.emitWithAck("echo", bytes)), bytes);
      client.on("question", (answer) => answer(bytes));
      const [answer] = await world.apps[0].run(({ io }) => io.timeout(5000).emitWithAck("question"));
      assert.deepEqual(Buffer.from(answer), bytes);
    });

    test("rooms: join, leave, several, without one's own", async (world) => {
      const [ann, bob, cid] = [
        await world.client("/", transports),
        await world.client("/", transports),
        await world.client("/", transports),
      ];
      const heard = [];
      for (const [name, client] of Object.entries({ ann, bob, cid }))
        client.on("said", ({ text }) => heard.push(`${name}:${text}`));
      await ann.emitWithAck("join", "r1");
      await bob.emitWithAck("join", "r1");
      await bob.emitWithAck("join", "r2");
      await cid.emitWithAck("join", "r2");
      // Both rooms without the sender. On Azure itself the sender receives it, too.
      ann.emit("say to", { rooms: ["r1", "r2"], text: "both" });
      await until("two heard it", () => heard.length >= 2);
      await cid.emitWithAck("leave", "r2");
      bob.emit("say to", { rooms: "r2", text: "nobody" });
      ann.emit("say", "end");
      await until("the end", () => heard.filter((line) => line.endsWith("end")).length === 3);
      assert.deepEqual(heard.sort(), ["ann:end", "bob:both", "bob:end", "cid:both", "cid:end"]);
    });

    test("namespaces, refused by a middleware, left by either side", async (world) => {
      const client = await world.client("/room", transports);
      assert.equal((await world.apps[0].noted("connection", ({ id }) => id === client.id)).nsp, "/room");
      const refused = world.open("/", { ...transports, auth: { refuse: true } });
      const [error] = await next(refused, "connect_error");
      assert.equal(error.message, "not you");
      const gone = next(client, "disconnect");
      client.emit("leave the chat", false);
      assert.deepEqual((await gone)[0], "io server disconnect");
      client.connect();
      await connected(client);
      const id = client.id;
      client.disconnect();
      const { reason } = await world.apps[0].noted("disconnect", (ended) => ended.id === id);
      assert.equal(reason, "client namespace disconnect");
    });

    test("the last message before the end arrives, and the end has its reason", async (world) => {
      const client = await world.client("/", transports);
      const other = await world.client("/", transports);
      const heard = next(other, "said");
      const { id } = client;
      client.emit("say to others", "goodbye");
      client.disconnect();
      assert.equal((await heard)[0].text, "goodbye");
      const { reason } = await world.apps[0].noted("disconnect", (ended) => ended.id === id);
      assert.equal(reason, "client namespace disconnect");
    });

    test("the server ends the connection", async (world) => {
      const client = await world.client("/", transports);
      const { id } = client;
      const gone = next(client, "disconnect");
      client.emit("leave the chat", true);
      assert.equal((await gone)[0], "io server disconnect");
      const { reason } = await world.apps[0].noted("disconnect", (ended) => ended.id === id);
      assert.equal(reason, "server namespace disconnect");
      await until("the app server knows of no connection", () =>
        world.apps[0].run(({ io }) => io.engine.clientsCount === 0),
      );
    });

    test("socketsJoin, socketsLeave, disconnectSockets", async (world) => {
      const [ann, bob] = [await world.client("/", transports), await world.client("/", transports)];
      const heard = [];
      for (const [name, client] of Object.entries({ ann, bob }))
        client.on("said", (text) => heard.push(`${name}:${text}`));
      // The SDK joins and leaves asynchronously: first the server's operation, then each socket's.
      const members = (count) =>
        until(`${count} in the room`, () =>
          world.apps[0].run(({ io }, count) => (io.sockets.adapter.rooms.get("all")?.size ?? 0) === count, count),
        );
      await world.apps[0].run(({ io }) => {
        io.socketsJoin("all");
      });
      await members(2);
      await world.apps[0].run(({ io }) => {
        io.to("all").emit("said", 1);
      });
      await until("both hear it", () => heard.length === 2);
      await world.apps[0].run(({ io }, id) => {
        io.in(id).socketsLeave("all");
      }, ann.id);
      await members(1);
      await world.apps[0].run(({ io }) => {
        io.to("all").emit("said", 2);
        io.emit("said", 3);
      });
      await until("all of it", () => ["ann:3", "bob:3"].every((line) => heard.includes(line)));
      assert.deepEqual(heard.slice(2).sort(), ["ann:3", "bob:2", "bob:3"]);
      const gone = [next(ann, "disconnect"), next(bob, "disconnect")];
      await world.apps[0].run(({ io }) => {
        io.disconnectSockets(true);
      });
      for (const [reason] of await Promise.all(gone)) assert.match(reason, /io server disconnect|transport close/);
      await until("the app server knows of no connection", () =>
        world.apps[0].run(({ io }) => io.engine.clientsCount === 0),
      );
    });

    test("a flood arrives in order", async (world) => {
      const client = await world.client("/", transports);
      const heard = [];
      client.on("repeat", (number) => heard.push(number));
      for (let number = 0; number < 1000; number += 1) client.emit("repeat", number);
      await until("all of it", () => heard.length === 1000);
      assert.deepEqual(heard, [...Array(1000).keys()]);
    });
  });
}

inAzureWorld("Azure's SDK: negotiate", { app: "negotiate" }, (test) => {
  test("a client goes where it is told, with the token that it is given", async (world) => {
    const { endpoint, path, token } = await (await fetch(`${world.apps[0].url}/negotiate?user=ada`)).json();
    const client = world.open("/", { path, query: { access_token: token } }, endpoint);
    await connected(client);
    const { claims } = await world.apps[0].noted("connection", ({ id }) => id === client.id);
    assert.deepEqual(claims.sub ?? claims.userId, ["ada"]);
  });
});

inAzureWorld("Azure's SDK: passport", { app: "passport" }, (test) => {
  test("who logged in is the user of the socket", async (world) => {
    const login = await fetch(`${world.apps[0].url}/login?id=7`);
    const cookie = login.headers.get("set-cookie").split(";")[0];
    const negotiated = await fetch(`${world.apps[0].url}/negotiate`, { headers: { cookie } });
    const { endpoint, path, token } = await negotiated.json();
    const client = world.open("/", { path, query: { access_token: token } }, endpoint);
    await connected(client);
    assert.equal(await client.emitWithAck("who am I"), "Ada");
  });

  test("who did not is refused", async (world) => {
    const { endpoint, path, token } = await (await fetch(`${world.apps[0].url}/negotiate`)).json();
    const client = world.open("/", { path, query: { access_token: token } }, endpoint);
    const [error] = await next(client, "connect_error");
    // Passport's own messages: without the claim there is no session.
    assert.match(error.message, /log in first|session support/);
  });
});

withAzureWorld(
  "the app's own pingInterval, pingTimeout and maxHttpBufferSize are the clients'",
  {
    options: { pingInterval: 400, pingTimeout: 300, maxHttpBufferSize: 5000 },
  },
  async (world) => {
    const answer = await (await fetch(`${world.url}/clients/socketio/hubs/default/?EIO=4&transport=polling`)).text();
    const open = JSON.parse(answer.slice(1));
    assert.deepEqual([open.pingInterval, open.pingTimeout, open.maxPayload], [400, 300, 5000]);
    assert.deepEqual(open.upgrades, ["websocket"]);
    const client = await world.client("/", { transports: ["websocket"] });
    let pings = 0;
    client.io.on("ping", () => (pings += 1));
    await until("some pings", () => pings >= 3);
    assert.ok(client.connected);
  },
);

// Each event is its own message in the tunnel, so the node reads some of them in pieces while more are arriving.
withAzureWorld("bursts of events arrive whole: none waits for a later message", {}, async (world) => {
  const client = await world.client("/", { transports: ["websocket"] });
  const [rounds, events] = [400, 101];
  let heard = 0;
  client.on("burst", () => (heard += 1));
  for (let round = 1; round <= rounds; round += 1) {
    await world.apps[0].run(
      ({ io }, [id, count]) => {
        const socket = io.sockets.sockets.get(id);
        for (let at = 0; at < count; at += 1) socket.emit("burst", at, "x".repeat(at % 50));
      },
      [client.id, events],
    );
    await until(`all of round ${round}`, () => heard === round * events, { withinMs: 10_000, everyMs: 2 });
  }
});
