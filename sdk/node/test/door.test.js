/** The app's own HTTP server goes on as it was, and what is behind Trunkline is one server with what comes straight. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { Server } from "socket.io";
import { io as connect } from "socket.io-client";
import { useTrunkline } from "../dist/esm/index.js";
import { captureConsole, connectClient } from "./support/app.js";
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
    assert.deepEqual(trunk.frames.filter(({ type, session }) => type === "Join" && session !== 1), []);
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

test("options that come too late for the node are said so", async (t) => {
  const warned = captureConsole(t, "warn");
  const node = await FakeNode.start();
  const io = new Server();
  const trunkline = useTrunkline(io, { endpoint: node.endpoint });
  t.after(async () => {
    await trunkline.close();
    await node.stop();
  });
  await trunkline.ready;
  io.attach(createServer());
  assert.deepEqual(warned, []);
  io.attach(createServer(), { pingInterval: 5 });
  assert.match(warned[0], /attach the HTTP server first/);
});
