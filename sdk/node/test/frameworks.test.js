/** What apps put around Socket.IO: middlewares that people have, HTTP frameworks, several servers in one process. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { test } from "node:test";
import express from "express";
import session from "express-session";
import fastify from "fastify";
import helmet from "helmet";
import passport from "passport";
import { Server } from "socket.io";
import { useTrunkline } from "../dist/esm/index.js";
import { captureConsole, connectClient, startApp, until } from "./support/app.js";
import { FakeNode } from "./support/fake-node.js";

const valuesOf = (headers, name) => headers.filter((header) => header.name === name).map(({ value }) => value);

test("helmet's headers are on every answer of the session", async (t) => {
  const { trunk } = await startApp(t, { prepare: (io) => io.attach(createServer()).engine.use(helmet()) });
  trunk.open(1);
  const { headers, lasting } = await trunk.next("Accept");
  assert.deepEqual(headers, []);
  assert.match(valuesOf(lasting, "content-security-policy")[0], /default-src 'self'/);
  assert.deepEqual(valuesOf(lasting, "x-frame-options"), ["SAMEORIGIN"]);
  assert.deepEqual(valuesOf(lasting, "x-powered-by"), []);
});

test("an Express app as a middleware: it gives request and response other prototypes, and both go on as before", async (t) => {
  const app = express();
  app.use((request, response, next) => {
    response.setHeader(
      "x-seen",
      `${request.headers.origin} ${request.get("x-own")} ${request.httpVersion} ${request._query.transport}`,
    );
    if (request.get("x-own") === "out") response.status(401).send("not today");
    else next();
  });
  const { io, trunk } = await startApp(t, { prepare: (server) => server.attach(createServer()).engine.use(app) });
  io.engine.opts.allowRequest = (request, decide) => decide(null, request.headers["x-own"] === "in");
  trunk.open(1, { headers: { origin: "https://a.example", "x-own": "in" } });
  const { lasting } = await trunk.next("Accept");
  assert.deepEqual(valuesOf(lasting, "x-seen"), ["https://a.example in 1.1 polling"]);
  trunk.open(2, { headers: { origin: "https://a.example", "x-own": "out" } });
  const { response } = await trunk.next("Reject");
  assert.deepEqual([response.status, response.body.toString()], [401, "not today"]);
});

for (const transport of [1, 2]) {
  test(`express-session and passport: a cookie for the client, a session and a user for the app (transport ${transport})`, async (t) => {
    const users = new Map([["7", { id: "7", name: "Ada" }]]);
    const passports = new passport.Passport();
    passports.serializeUser((user, done) => done(null, user.id));
    passports.deserializeUser((id, done) => done(null, users.get(id)));
    const { io, trunk } = await startApp(t, {
      prepare: (server) => {
        server.attach(createServer());
        const onlyForHandshake = (middleware) => (request, response, next) =>
          request._query.sid === undefined ? middleware(request, response, next) : next();
        server.engine.use(
          onlyForHandshake(session({ secret: "s", resave: false, saveUninitialized: true, name: "app.sid" })),
        );
        server.engine.use(onlyForHandshake(passports.session()));
        server.engine.use((request, _response, next) => {
          if (request.url.includes("login=7")) request.login(users.get("7"), next);
          else next();
        });
      },
    });
    const accepted = trunk.next("Accept");
    const first = once(io, "connection");
    trunk.open(1, { transport, url: "/socket.io/?EIO=4&transport=polling&login=7" });
    const { headers, lasting } = await accepted;
    const [cookie] = valuesOf(headers, "set-cookie");
    assert.match(cookie, /^app\.sid=s%3A.+; Path=\/; HttpOnly$/);
    assert.deepEqual(valuesOf(lasting, "set-cookie"), []);
    trunk.text(1, "0");
    const [one] = await first;
    assert.deepEqual([one.request.user, one.request.isAuthenticated()], [{ id: "7", name: "Ada" }, true]);
    one.request.session.count = 41;
    await new Promise((resolve, reject) => one.request.session.save((error) => (error ? reject(error) : resolve())));
    const two = await connectClient(io, trunk, 2, { transport, headers: { cookie: cookie.split(";")[0] } });
    assert.deepEqual(
      [two.request.session.count, two.request.user, two.request.sessionID],
      [41, { id: "7", name: "Ada" }, one.request.sessionID],
    );
    await new Promise((resolve) => two.request.session.reload(resolve));
    assert.equal(two.request.session.count, 41);
  });
}

/** Without a connection that lingers, for which a server's end would wait. */
async function get(url) {
  const [response] = await once(request(url, { agent: false }).end(), "response");
  let body = "";
  for await (const chunk of response.setEncoding("utf8")) body += chunk;
  return { status: response.statusCode, body };
}

/**
 * Starts an app server around `build`, which gets the options and gives `{ io, close, url }`, and checks both doors.
 */
async function checkApp(t, build) {
  const node = await FakeNode.start();
  const { io, url, page, stop } = await build((server) => useTrunkline(server, { endpoint: node.endpoint }));
  t.after(async () => {
    await (stop ?? (() => io.close()))();
    await node.stop();
  });
  const trunk = await node.trunk();
  const socket = await connectClient(io, trunk, 1);
  socket.on("echo", (value, done) => done(value));
  trunk.text(1, '27["echo","x"]');
  await until(() => trunk.frames.some(({ payload }) => payload?.toString() === '37["x"]'));
  const base = await url();
  if (page !== undefined) assert.equal((await get(`${base}/page`)).body, page);
  assert.equal((await get(`${base}/socket.io/socket.io.js`)).status, 200);
  const polling = await get(`${base}/socket.io/?EIO=4&transport=polling`);
  assert.deepEqual([polling.status, polling.body[0]], [200, "0"]);
  assert.equal(io.engine.clientsCount, 2);
}

const listening = async (server) => {
  if (!server.listening) await once(server, "listening");
  return `http://127.0.0.1:${server.address().port}`;
};

const APPS = {
  "new Server(port)": (use) => {
    const io = new Server(0);
    use(io);
    return { io, url: () => listening(io.httpServer) };
  },
  "io.listen(port)": (use) => {
    const io = new Server();
    use(io);
    io.listen(0);
    return { io, url: () => listening(io.httpServer) };
  },
  "io.attach(server) before useTrunkline": (use) => {
    const http = createServer((_request, response) => response.end("plain")).listen(0, "127.0.0.1");
    const io = new Server();
    io.attach(http);
    use(io);
    return { io, url: () => listening(http), page: "plain" };
  },
  Express: (use) => {
    const app = express();
    app.get("/page", (_request, response) => void response.send("from express"));
    const http = app.listen(0, "127.0.0.1");
    const io = new Server(http);
    use(io);
    return { io, url: () => listening(http), page: "from express" };
  },
  Fastify: async (use) => {
    const app = fastify();
    // As the plugin for Socket.IO does it.
    app.decorate("io", new Server(app.server));
    app.addHook("preClose", (done) => {
      app.io.local.disconnectSockets(true);
      done();
    });
    app.addHook("onClose", (instance, done) => {
      instance.io.close();
      done();
    });
    app.get("/page", async () => "from fastify");
    use(app.io);
    await app.listen({ port: 0, host: "127.0.0.1" });
    return { io: app.io, url: () => listening(app.server), page: "from fastify", stop: () => app.close() };
  },
  "attached after useTrunkline, with a namespace": (use) => {
    const http = createServer((_request, response) => response.end("later")).listen(0, "127.0.0.1");
    const io = new Server({ cors: { origin: "*" } });
    use(io);
    io.attach(http);
    io.of("/chat").on("connection", () => undefined);
    return { io, url: () => listening(http), page: "later" };
  },
};
for (const [name, build] of Object.entries(APPS)) test(name, (t) => checkApp(t, build));

test("several servers in one process on different hubs keep to themselves", async (t) => {
  const nodes = [await FakeNode.start(), await FakeNode.start()];
  const servers = nodes.map(() => new Server());
  const trunklines = servers.map((io, index) =>
    useTrunkline(io, { endpoint: nodes[index].endpoint, hub: `hub${index}` }),
  );
  t.after(async () => {
    await Promise.all(servers.map((io) => io.close()));
    await Promise.all(nodes.map((node) => node.stop()));
  });
  const trunks = await Promise.all(nodes.map((node) => node.trunk()));
  const hubs = nodes.map(
    ({ requests }) => JSON.parse(Buffer.from(requests[0].headers.authorization.split(".")[1], "base64url")).hub,
  );
  assert.deepEqual(hubs, ["hub0", "hub1"]);
  const sockets = await Promise.all(servers.map((io, index) => connectClient(io, trunks[index], 1)));
  for (const socket of sockets) socket.join("r");
  servers[0].to("r").emit("x");
  await trunks[0].next("Broadcast");
  await trunks[1].settle();
  assert.ok(!trunks[1].frames.some(({ type }) => type === "Broadcast"));
  assert.deepEqual(
    (await servers[1].fetchSockets()).map(({ id }) => id),
    [sockets[1].id],
  );
  assert.notEqual(trunks[0].hello.server, trunks[1].hello.server);
  assert.deepEqual(
    trunklines.map(({ stats }) => stats.sessions),
    [1, 1],
  );
});

test("cleanupEmptyChildNamespaces: a namespace that was removed and made anew works as before", async (t) => {
  const { io, trunk } = await startApp(t, { io: { cleanupEmptyChildNamespaces: true } });
  const parent = io.of(/^\/dyn-\d+$/);
  for (let round = 1; round <= 3; round++) {
    const connected = once(parent, "connection");
    trunk.open(round);
    await trunk.next("Accept");
    trunk.text(round, "0/dyn-1,");
    const [socket] = await connected;
    const nsp = io.of("/dyn-1");
    socket.join("r");
    nsp.to("r").emit("x", round);
    assert.equal((await trunk.next("Broadcast")).nsp, 0);
    assert.equal((await nsp.fetchSockets()).length, 1);
    const gone = once(socket, "disconnect");
    trunk.text(round, "1/dyn-1,");
    await gone;
    assert.ok(!io._nsps.has("/dyn-1"));
  }
  await trunk.settle();
  assert.deepEqual(
    trunk.frames.filter(({ type }) => type === "Namespace").map(({ name }) => name),
    ["/dyn-1"],
  );
  parent.emit("to nobody");
});

const UNHONOURED = [
  [{ wsEngine: class {} }, /wsEngine: the node speaks WebSocket itself/],
  [{ transports: ["polling", "webtransport"] }, /transports: the node has no webtransport/],
  [{ initialPacket: "hello" }, /initialPacket: /],
];
for (const [options, message] of UNHONOURED) {
  test(`${Object.keys(options)[0]} is said to be out of reach, once, on the console and as an event`, async (t) => {
    const lines = captureConsole(t, "warn");
    const { io, warnings } = await startApp(t, { io: options });
    assert.equal(warnings.length, 1);
    assert.match(warnings[0], message);
    assert.deepEqual(lines, [`trunkline: ${warnings[0]}`]);
    io.attach(createServer(), options);
    assert.equal(warnings.length, 1);
  });
}

test("attachApp is said to be out of reach", async (t) => {
  const lines = captureConsole(t, "warn");
  const { io, warnings } = await startApp(t);
  assert.throws(() => io.attachApp({}));
  assert.match(warnings[0], /attachApp: a uWebSockets\.js server/);
  assert.equal(lines.length, 1);
});

test("nothing is said about options that are honoured", async (t) => {
  const lines = captureConsole(t, "warn");
  const http = createServer();
  const { warnings } = await startApp(t, {
    io: {
      cors: { origin: "*" },
      cookie: true,
      allowEIO3: true,
      transports: ["websocket"],
      perMessageDeflate: true,
      connectionStateRecovery: {},
      serveClient: false,
    },
    prepare: (io) => io.attach(http),
  });
  assert.deepEqual([lines, warnings], [[], []]);
});
