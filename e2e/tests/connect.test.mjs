// How a client connects: auth, namespaces, middlewares, and what the app sees of it.
import assert from "node:assert/strict";
import { next, until } from "../../testing/wait.mjs";
import { inWorld } from "../harness/test.mjs";
import { TRANSPORTS } from "../harness/world.mjs";

for (const [mode, transports] of Object.entries(TRANSPORTS)) {
  inWorld(`connect over ${mode}`, { servers: ["amber"] }, (test) => {
    test("auth as an object and as a function", async (world) => {
      const [amber] = world.apps;
      for (const auth of [{ token: "a" }, (answer) => answer({ token: "b" })]) {
        const client = await world.client("/", { ...transports, auth });
        const seen = await amber.noted("connection", ({ id }) => id === client.id);
        assert.deepEqual(seen.auth, typeof auth === "function" ? { token: "b" } : auth);
      }
    });

    test("socket.handshake has every field", async (world) => {
      const client = await world.client("/", {
        ...transports,
        auth: { token: "x" },
        query: { color: "blue & green" },
        extraHeaders: { "x-team": "trunk" },
      });
      const before = Date.now();
      const seen = await world.apps[0].run(({ io }, id) => {
        const { handshake } = io.sockets.sockets.get(id);
        return { ...handshake, query: { ...handshake.query }, headers: { ...handshake.headers } };
      }, client.id);
      assert.equal(seen.headers["x-team"], "trunk");
      assert.equal(seen.headers.host, new URL(world.url).host);
      assert.equal(seen.query.color, "blue & green");
      assert.equal(seen.query.EIO, "4");
      assert.equal(seen.query.transport, transports.transports[0]);
      assert.match(seen.address, /^(::ffff:)?127\.0\.0\.1$/);
      assert.equal(seen.secure, false);
      assert.equal(seen.xdomain, false);
      assert.match(seen.url, /^\/socket\.io\/\?/);
      assert.equal(String(new Date(seen.time)), String(new Date(seen.issued)));
      assert.ok(Math.abs(before - seen.issued) < 60_000);
      assert.deepEqual(seen.auth, { token: "x" });
    });

    test("xdomain tells a client from another origin", async (world) => {
      const client = await world.client("/", { ...transports, extraHeaders: { origin: "http://elsewhere.example" } });
      const xdomain = await world.apps[0].run(({ io }, id) => io.sockets.sockets.get(id).handshake.xdomain, client.id);
      assert.equal(xdomain, true);
    });

    test("socket.request is the client's HTTP request", async (world) => {
      const client = await world.client("/", {
        ...transports,
        query: { a: "1" },
        extraHeaders: { cookie: "session=abc" },
      });
      const seen = await world.apps[0].run(({ io }, id) => {
        const { request, conn } = io.sockets.sockets.get(id);
        const { method, url, headers, httpVersion } = request;
        return {
          method,
          url,
          cookie: headers.cookie,
          httpVersion,
          query: request._query.a,
          same: conn.request === request,
        };
      }, client.id);
      assert.equal(seen.method, "GET");
      assert.match(seen.url, /^\/socket\.io\/\?.*\ba=1\b/);
      assert.equal(seen.cookie, "session=abc");
      assert.equal(seen.httpVersion, "1.1");
      assert.equal(seen.query, "1");
      assert.equal(seen.same, true);
    });

    test("socket.conn keeps its face", async (world) => {
      const client = await world.client("/", transports);
      const look = ({ io }, id) => {
        const { conn } = io.sockets.sockets.get(id);
        const { readyState, protocol, remoteAddress, transport } = conn;
        return {
          id: conn.id,
          readyState,
          protocol,
          remoteAddress,
          transport: transport.name,
          listed: io.engine.clientsCount,
        };
      };
      const expected = transports.transports.at(-1);
      const seen = await until("the transport", async () => {
        const seen = await world.apps[0].run(look, client.id);
        return seen.transport === expected && seen;
      });
      assert.equal(seen.id, client.io.engine.id);
      assert.notEqual(seen.id, client.id, "the session's id is a secret of its own");
      assert.equal(seen.readyState, "open");
      assert.equal(seen.protocol, 4);
      assert.match(seen.remoteAddress, /^(::ffff:)?127\.0\.0\.1$/);
      assert.ok(seen.listed >= 1);
    });

    test("a static namespace, beside the main one on one session", async (world) => {
      const main = await world.client("/", transports);
      const other = main.io.socket("/static");
      await next(other, "connect");
      assert.notEqual(main.id, other.id);
      assert.deepEqual(await other.emitWithAck("echo", "in /static"), "in /static");
      other.disconnect();
      await world.apps[0].noted("disconnect", ({ id }) => id === other.id || !other.id);
      assert.equal(await main.emitWithAck("echo", "still here"), "still here");
    });

    test("dynamic namespaces, by pattern and by function", async (world) => {
      const client = await world.client("/dynamic-42", transports);
      const seen = await world.apps[0].noted("connection", ({ id }) => id === client.id);
      assert.equal(seen.nsp, "/dynamic-42");
      assert.equal(await client.emitWithAck("echo", 1), 1);
      const token = await world.client("/by-token-1", { ...transports, auth: { token: "right" } });
      assert.equal(await token.emitWithAck("echo", 2), 2);
    });

    test("an unknown namespace is refused in Socket.IO's words", async (world) => {
      for (const [path, auth] of [["/nowhere"], ["/dynamic-x"], ["/by-token-2", { token: "wrong" }]]) {
        const client = world.open(path, { ...transports, auth });
        const [error] = await next(client, "connect_error");
        assert.equal(error.message, "Invalid namespace", path);
      }
    });

    test("io.use refuses with a message and data", async (world) => {
      const client = world.open("/", { ...transports, auth: { refuse: true } });
      const [error] = await next(client, "connect_error");
      assert.equal(error.message, "not you");
      assert.deepEqual(error.data, { advice: "be somebody else" });
      assert.equal(client.connected, false);
    });

    test("io.use runs one after the other", async (world) => {
      const client = await world.client("/", transports);
      const seen = await world.apps[0].run(({ io }, id) => io.sockets.sockets.get(id).data.seen, client.id);
      assert.deepEqual(seen, ["first", "second"]);
    });

    test("socket.use stops an event and tells the app", async (world) => {
      const client = await world.client("/", transports);
      client.emit("forbidden");
      const [complaint] = await next(client, "complaint");
      assert.equal(complaint, "not that");
    });
  });
}

inWorld("transports", { servers: ["amber"] }, (test) => {
  test("polling first, then the upgrade, with nothing lost around it", async (world) => {
    const client = world.open("/", TRANSPORTS.upgrade);
    const transports = [];
    client.io.on("open", () => {
      transports.push(client.io.engine.transport.name);
      client.io.engine.on("upgrade", ({ name }) => transports.push(name));
    });
    await next(client, "connect");
    const answers = [];
    for (let number = 0; number < 300 || transports.length < 2; number += 1) {
      client.emit("echo", number, (answer) => answers.push(answer));
      if (number % 10 === 0) await client.emitWithAck("echo", "pace");
    }
    const sent = answers.length + (await client.emitWithAck("echo", 0), 0);
    await until("every answer", () => answers.length >= sent);
    assert.deepEqual(transports, ["polling", "websocket"]);
    assert.deepEqual(answers, [...answers.keys()]);
  });

  test("the app is told of the upgrade", async (world) => {
    await world.apps[0].run(({ io, note }) => {
      io.engine.once("connection", (conn) => conn.once("upgrade", ({ name }) => note("upgrade", name)));
    });
    await world.client("/", TRANSPORTS.upgrade);
    assert.equal(await world.apps[0].noted("upgrade"), "websocket");
  });
});

inWorld(
  "a limit beyond the node's",
  { servers: ["amber"], options: { maxHttpBufferSize: 1e10 }, trunklineOnly: true },
  (test) => {
    test("the app server serves, and clients are told what holds", async (world) => {
      const response = await fetch(new URL("/socket.io/?EIO=4&transport=polling", world.url));
      assert.equal(response.status, 200);
      const { maxPayload } = JSON.parse((await response.text()).slice(1));
      assert.equal(maxPayload, 67_107_840);
    });
  },
);
