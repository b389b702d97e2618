/** The app's own HTTP server goes on as it was, and what is behind Trunkline is one server with what comes straight. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { Server } from "socket.io";
import { io as connect } from "socket.io-client";
import { useTrunkline } from "../dist/esm/index.js";
import { WebSocket } from "ws";
import { captureConsole, connectClient, startCluster, types, until } from "./support/app.js";
import { FakeNode } from "./support/fake-node.js";

const ORDERS = {
  "attached before": (http, options) => new Server(http, options),
  "attached after": (http, options, use) => {
    const io = new Server(options);
    use(io);
    io.attach(http);
    return io;
  },
};

async function start(t, order, options = {}, prepare = () => undefined) {
  const node = await FakeNode.start();
  const http = createServer((_request, response) => response.writeHead(404).end("app"));
  let trunkline;
  const use = (io) => {
    prepare(io);
    trunkline ??= useTrunkline(io, { endpoint: node.endpoint });
  };
  const io = ORDERS[order](http, options, use);
  use(io);
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  await trunkline.ready;
  const base = `http://127.0.0.1:${http.address().port}`;
  t.after(async () => {
    http.closeAllConnections();
    await io.close();
    await trunkline.close();
    await node.stop();
  });
  return { io, http, base, node, trunk: await node.trunk() };
}

for (const order of Object.keys(ORDERS)) {
  test(`${order}: both doors share rooms, broadcasts and counts`, async (t) => {
    const { io, base, trunk } = await start(t, order);
    assert.notEqual(io.engine, io.eio);
    assert.equal(io.engine.opts, io.eio.opts);
    const direct = connect(base, { transports: ["websocket"] });
    t.after(() => direct.close());
    const [directSocket] = await once(io, "connection");
    const socket = await connectClient(io, trunk, 1);
    assert.deepEqual([io.engine.clientsCount, (await io.fetchSockets()).length], [2, 2]);
    directSocket.join("r");
    socket.join("r");
    const heard = [];
    directSocket.onAnyOutgoing((event) => heard.push(event));
    const arrived = once(direct, "x");
    io.except("nobody").to("r").emit("x", 1);
    io.except("r").emit("y");
    assert.deepEqual(await arrived, [1]);
    assert.deepEqual((await trunk.next("Broadcast")).rooms, ["r"]);
    assert.deepEqual(heard, ["x"]);
    await trunk.settle();
    assert.deepEqual(
      trunk.frames.filter(({ type, session }) => type === "Join" && session !== 1),
      [],
    );
  });

  test(`${order}: bundle, 404 and Engine.IO answers are as before`, async (t) => {
    const { base } = await start(t, order);
    assert.equal((await fetch(`${base}/socket.io/socket.io.js`)).status, 200);
    const other = await fetch(`${base}/other`);
    assert.deepEqual([other.status, await other.text()], [404, "app"]);
    const bad = await fetch(`${base}/socket.io/?EIO=4&transport=none`);
    assert.deepEqual([bad.status, await bad.json()], [400, { code: 0, message: "Transport unknown" }]);
  });

  test(`${order}: middlewares and events of io.engine serve both doors`, async (t) => {
    const log = [];
    const { io, base, trunk } = await start(t, order, { cors: { origin: "*" } }, (server) => {
      server.engine?.use((_request, _response, next) => (log.push("before"), next()));
      server.engine?.on("connection_error", ({ code }) => log.push(`early ${code}`));
    });
    const before = log.length;
    io.engine.use((_request, response, next) => (response.setHeader("x-app", "1"), log.push("after"), next()));
    io.engine.on("connection_error", ({ code }) => log.push(code));
    const answer = await fetch(`${base}/socket.io/?EIO=4&transport=polling`);
    assert.deepEqual([answer.headers.get("x-app"), answer.headers.get("access-control-allow-origin")], ["1", "*"]);
    trunk.open(1);
    const { lasting } = await trunk.next("Accept");
    assert.deepEqual(lasting.map(({ name }) => name).sort(), ["access-control-allow-origin", "x-app"]);
    await fetch(`${base}/socket.io/?EIO=4&transport=none`);
    assert.equal(log.filter((entry) => entry === "after").length, 3);
    assert.equal(log.filter((entry) => entry === 0).length, 1);
    assert.equal(before, 0);
  });
}

test("sockets that were there before `useTrunkline` keep their rooms", async (t) => {
  const http = createServer();
  const io = new Server(http);
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const client = connect(`http://127.0.0.1:${http.address().port}`);
  const [socket] = await once(io, "connection");
  socket.join("r");
  const log = [];
  io.of("/").adapter.on("leave-room", (room) => log.push(room));
  const node = await FakeNode.start();
  const trunkline = useTrunkline(io, { endpoint: node.endpoint });
  await trunkline.ready;
  t.after(async () => {
    client.close();
    await io.close();
    await trunkline.close();
    await node.stop();
  });
  assert.deepEqual([...socket.rooms], [socket.id, "r"]);
  const arrived = once(client, "x");
  io.to("r").emit("x");
  await arrived;
  socket.leave("r");
  assert.deepEqual(log, ["r"]);
});

test("another adapter is replaced, and that is said", async (t) => {
  const warned = captureConsole(t, "warn");
  const { Adapter } = await import("socket.io-adapter");
  class RedisAdapter extends Adapter {}
  const node = await FakeNode.start();
  const trunkline = useTrunkline(new Server({ adapter: RedisAdapter }), { endpoint: node.endpoint });
  t.after(async () => {
    await trunkline.close();
    await node.stop();
  });
  await trunkline.ready;
  assert.match(warned[0], /RedisAdapter/);
});

test("options that come late are told to the node, and those that it reads once are said", async (t) => {
  const warned = captureConsole(t, "warn");
  const node = await FakeNode.start();
  const io = new Server();
  const trunkline = useTrunkline(io, { endpoint: node.endpoint });
  t.after(async () => {
    await trunkline.close();
    await node.stop();
  });
  const trunk = await node.trunk();
  io.attach(createServer());
  assert.deepEqual(warned, []);
  io.attach(createServer(), { pingInterval: 5, perMessageDeflate: true });
  const { settings } = await trunk.next("Settings");
  assert.deepEqual([JSON.parse(settings).pingInterval, JSON.parse(settings).perMessageDeflate], [5, undefined]);
  assert.equal(warned.length, 1);
  assert.match(warned[0], /perMessageDeflate: changed after the trunk was opened/);
});

/** Two app servers on one node, each with an HTTP server of its own. */
async function startDoors(t, options = {}) {
  const bases = [];
  const cluster = await startCluster(t, {
    ...options,
    prepare: async (io, index) => {
      const http = createServer();
      http.listen(0, "127.0.0.1");
      await once(http, "listening");
      io.attach(http);
      t.after(() => io.close());
      bases[index] = `http://127.0.0.1:${http.address().port}`;
    },
  });
  return { ...cluster, bases };
}

async function connectDirect(t, io, base) {
  const connected = once(io, "connection");
  const client = connect(base, { transports: ["websocket"], forceNew: true });
  t.after(() => client.close());
  const [socket] = await connected;
  return { client, socket };
}

const isInterested = (io, nsp) => until(() => io.of("/").adapter.isInterested === nsp);

test("direct clients of other app servers get broadcasts, are fetched, joined, asked and disconnected", async (t) => {
  const { apps, bases } = await startDoors(t);
  const [a, b] = apps;
  const behind = await connectClient(b.io, b.trunk, 1);
  const { client, socket } = await connectDirect(t, b.io, bases[1]);
  const heard = [];
  client.onAny((event, ...args) => heard.push([event, ...args.filter((arg) => typeof arg !== "function")]));
  await b.trunk.settle();
  await a.trunk.settle();
  socket.join("r");
  a.io.to("r").emit("x", { n: 1 }, Buffer.from("bin"));
  a.io.except("r").emit("not for it");
  a.io.local.emit("not for it either");
  await until(() => heard.length === 1);
  b.io.emit("own");
  a.io.socketsJoin("s");
  a.io.to("s").emit("last", { toJSON: () => "as json" });
  await until(() => heard.length === 3);
  assert.deepEqual(heard, [["x", { n: 1 }, Buffer.from("bin")], ["own"], ["last", "as json"]]);
  assert.deepEqual((await a.io.fetchSockets()).map(({ id }) => id).sort(), [behind.id, socket.id].sort());
  client.on("ask", (done) => done("direct"));
  assert.deepEqual(await a.io.in("r").timeout(10_000).emitWithAck("ask"), ["direct"]);
  const ended = once(client, "disconnect");
  a.io.in("r").disconnectSockets();
  assert.equal((await ended)[0], "io server disconnect");
});

test("an app server hears of broadcasts only while it has reason to, and a new one learns it at once", async (t) => {
  const { apps, bases, add } = await startDoors(t);
  const [a, b] = apps;
  const relays = () => types(a.trunk.frames).filter((type) => type === "Relay").length;
  a.io.emit("x");
  await a.trunk.settle();
  assert.equal(relays(), 0);
  const { client, socket } = await connectDirect(t, b.io, bases[1]);
  await b.trunk.settle();
  await a.trunk.settle();
  a.io.emit("x");
  a.io.of("/other").emit("x");
  await a.trunk.settle();
  assert.equal(relays(), 1);
  const c = await add();
  const arrived = once(client, "y");
  await c.trunk.settle();
  c.io.emit("y", 1);
  assert.deepEqual(await arrived, [1]);
  socket.disconnect(true);
  await isInterested(b.io, false);
  await b.trunk.settle();
  await a.trunk.settle();
  a.io.emit("z");
  await a.trunk.settle();
  assert.equal(relays(), 1);
});

test("listeners for outgoing packets hear the broadcasts of other app servers, once, with what the parser made of them", async (t) => {
  const { apps } = await startDoors(t);
  const [a, b] = apps;
  const heard = [];
  const one = await connectClient(b.io, b.trunk, 1);
  await connectClient(b.io, b.trunk, 2);
  one.onAnyOutgoing((...args) => heard.push(args));
  await b.trunk.settle();
  await a.trunk.settle();
  b.trunk.frames.length = 0;
  one.join("r");
  a.io.to("r").emit("x", Buffer.from("1"), { when: new Date(0) });
  a.io.to("nobody").emit("y");
  b.io.emit("own");
  await until(() => heard.length === 2);
  assert.deepEqual(heard, [["own"], ["x", Buffer.from("1"), { when: "1970-01-01T00:00:00.000Z" }]]);
  await b.trunk.settle();
  assert.equal(
    types(b.trunk.frames).filter((type) => type === "Broadcast").length,
    1,
    "the node has served the sockets behind it",
  );
  const arrived = await a.trunk.next("Broadcast");
  assert.deepEqual([arrived.rooms, arrived.flags], [["r"], 8]);
});

test("a broadcast is made into a WebSocket frame once for all direct clients, as without Trunkline", async (t) => {
  const { io, base, trunk } = await start(t, Object.keys(ORDERS)[0]);
  const clients = [
    connect(base, { transports: ["websocket"], forceNew: true }),
    connect(base, { transports: ["websocket"], forceNew: true }),
  ];
  t.after(() => clients.forEach((client) => client.close()));
  await Promise.all(clients.map((client) => once(client, "connect")));
  const frames = [];
  for (const socket of io.sockets.sockets.values())
    socket.conn.on("packetCreate", ({ options }) => frames.push(options.wsPreEncodedFrame));
  io.emit("x", 1);
  const { parts } = await trunk.next("Broadcast");
  const [first, second] = frames;
  assert.equal(first, second);
  assert.equal(Buffer.concat(first).subarray(2).toString(), `4${parts[0].data}`);
});

test("`direct: false` refuses handshakes at the app's own port and says where to go", async (t) => {
  const node = await FakeNode.start();
  const http = createServer((_request, response) => response.end("app"));
  const io = new Server(http, { cors: { origin: "https://app.example" } });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const base = `http://127.0.0.1:${http.address().port}`;
  const present = connect(base, { forceNew: true });
  await once(io, "connection");
  const trunkline = useTrunkline(io, { endpoint: `${node.endpoint}/prefix`, direct: false });
  t.after(async () => {
    present.close();
    http.closeAllConnections();
    await io.close();
    await node.stop();
  });
  const message = `Socket.IO clients are served by Trunkline at ${node.endpoint}/prefix, not by this server`;
  const polling = await fetch(`${base}/socket.io/?EIO=4&transport=polling`, {
    headers: { origin: "https://app.example" },
  });
  assert.deepEqual([polling.status, await polling.json()], [403, { code: 4, message }]);
  assert.equal(polling.headers.get("access-control-allow-origin"), "https://app.example");
  const unknown = await fetch(`${base}/socket.io/?EIO=4&transport=polling&sid=__proto__`);
  assert.equal(unknown.status, 403);
  const client = new WebSocket(`${base.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
  const [, response] = await once(client, "unexpected-response");
  response.setEncoding("utf8");
  const [body] = await once(response, "data");
  assert.deepEqual([response.statusCode, JSON.parse(body)], [403, { code: 4, message }]);
  assert.equal(await (await fetch(base)).text(), "app");
  assert.equal((await fetch(`${base}/socket.io/socket.io.js`)).status, 200);
  const arrived = once(present, "still here");
  io.emit("still here");
  await arrived;
  assert.equal(trunkline.stats.trunks, 1);
});
