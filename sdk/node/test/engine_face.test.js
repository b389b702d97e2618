/**
 * What apps do to `io.engine`, to an engine of their own, to `conn.transport` and to streams: as in Engine.IO, or said.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { test } from "node:test";
import { Server } from "socket.io";
import { useTrunkline } from "../dist/esm/index.js";
import { captureConsole, connectClient, startApp, until } from "./support/app.js";
import { FakeNode } from "./support/fake-node.js";

const { Server: Engine } = createRequire(createRequire(import.meta.url).resolve("socket.io"))("engine.io");

test("options of `io.engine.opts` that change while running go to the node, once for each turn", async (t) => {
  const { io, trunk, warnings } = await startApp(t);
  io.engine.opts.pingInterval = 1234;
  io.engine.opts.pingTimeout = "777";
  io.engine.opts.allowEIO3 = 1;
  const { settings } = await trunk.next("Settings");
  const { pingInterval, pingTimeout, allowEIO3, path } = JSON.parse(settings);
  assert.deepEqual(
    [pingInterval, pingTimeout, allowEIO3, path, io.engine.opts.pingInterval],
    [1234, 777, true, undefined, 1234],
  );
  io.engine.opts.pingInterval = 1234;
  await trunk.settle();
  assert.ok(!trunk.frames.some(({ type }) => type === "Settings"));
  io.engine.opts = { ...io.engine.opts, maxHttpBufferSize: 99 };
  assert.equal(JSON.parse((await trunk.next("Settings")).settings).maxHttpBufferSize, 99);
  io.engine.opts.maxHttpBufferSize = 98;
  assert.equal(JSON.parse((await trunk.next("Settings")).settings).maxHttpBufferSize, 98);
  assert.deepEqual(warnings, []);
  io.engine.opts.perMessageDeflate = true;
  await until(() => warnings.length === 1);
  assert.match(warnings[0], /^perMessageDeflate: changed after the trunk was opened/);
});

test("what changes inside an option goes with the next look, and what the node cannot do is said then", async (t) => {
  const { io, trunk, warnings } = await startApp(t, { node: { welcome: { pingIntervalMs: 100 } } });
  captureConsole(t, "warn");
  io.engine.opts.transports.push("webtransport");
  io.engine.opts.httpCompression.threshold = 7;
  assert.equal(JSON.parse((await trunk.next("Settings")).settings).httpCompression.threshold, 7);
  assert.match(warnings.join(), /no webtransport yet/);
});

test("what changes inside options that the app has just read goes to the node at once, as assignments do", async (t) => {
  const { io, trunk, warnings } = await startApp(t, { io: { transports: ["polling", "websocket"] } });
  const said = async () => JSON.parse((await trunk.next("Settings")).settings);
  const { transports } = io.engine.opts;
  transports.length = 0;
  io.engine.opts.transports.push("websocket");
  const { transports: list, httpCompression } = await said();
  assert.deepEqual([list, httpCompression], [["websocket"], { threshold: 1024 }]);
  assert.equal(io.engine.opts.transports, transports);
  io.engine.opts.httpCompression.threshold = 7;
  assert.deepEqual((await said()).httpCompression, { threshold: 7 });
  // Of a value that was assigned, too, in options that were assigned.
  io.engine.opts = { ...io.engine.opts, transports: ["polling"] };
  assert.deepEqual((await said()).transports, ["polling"]);
  io.engine.opts.transports = ["websocket"];
  assert.deepEqual((await said()).transports, ["websocket"]);
  io.engine.opts.transports.unshift("polling");
  assert.deepEqual((await said()).transports, ["polling", "websocket"]);
  // Who only reads changes nothing.
  assert.equal(io.engine.opts.transports.length, 2);
  await trunk.settle();
  assert.ok(!trunk.frames.some(({ type }) => type === "Settings"));
  assert.deepEqual(warnings, []);
});

test("what changes inside perMessageDeflate is said at once: the node keeps it", async (t) => {
  const { io, warnings } = await startApp(t, { io: { perMessageDeflate: { threshold: 10 } } });
  io.engine.opts.perMessageDeflate.threshold = 11;
  await until(() => warnings.length === 1);
  assert.match(warnings[0], /^perMessageDeflate: changed after the trunk was opened/);
});

for (const when of ["before", "behind"]) {
  test(`an engine of the app's own, bound ${when} useTrunkline: listeners, ids and middlewares of either hold for both`, async (t) => {
    class Own extends Engine {
      generateId() {
        return "own id";
      }
    }
    const warned = captureConsole(t, "warn");
    const node = await FakeNode.start();
    const engine = new Own({ pingInterval: 4321, cors: { origin: "http://a.example" } });
    engine.on("headers", (headers) => (headers["x-early"] = "1"));
    const io = new Server();
    if (when === "before") io.bind(engine);
    const trunkline = useTrunkline(io, { endpoint: node.endpoint });
    if (when === "behind") io.bind(engine);
    t.after(async () => {
      await trunkline.close();
      await node.stop();
    });
    const trunk = await node.trunk();
    assert.equal(JSON.parse(trunk.hello.settings).pingInterval, 4321);
    engine.on("initial_headers", (headers) => (headers["x-late"] = "2"));
    engine.once("headers", (headers) => (headers["x-once"] = "3"));
    engine.use((_request, response, next) => (response.setHeader("x-used", "4"), next()));
    const heard = (event) => [engine.listenerCount(event), io.engine.listenerCount(event)];
    assert.deepEqual(heard("headers"), [2, 2]);
    const names = [];
    for (const session of [1, 2]) {
      trunk.open(session, { headers: { origin: "http://a.example" } });
      const { sid, headers, lasting } = await trunk.next("Accept");
      assert.equal(sid, "own id");
      names.push(
        [...headers, ...lasting]
          .map(({ name }) => name)
          .filter((name) => name.startsWith("x-") || name.startsWith("access-"))
          .sort(),
      );
    }
    assert.deepEqual(names, [
      ["access-control-allow-origin", "x-early", "x-late", "x-once", "x-used"],
      ["access-control-allow-origin", "x-early", "x-late", "x-used"],
    ]);
    engine.generateId = () => "another id";
    trunk.open(3);
    assert.equal((await trunk.next("Accept")).sid, "another id");
    engine.opts.pingTimeout = 55;
    assert.equal(JSON.parse((await trunk.next("Settings")).settings).pingTimeout, 55);
    assert.deepEqual(warned, []);
  });
}

test("an engine whose class does a step of the handshake itself is said", async (t) => {
  const warned = captureConsole(t, "warn");
  class Own extends Engine {
    verify(request, upgrade, done) {
      super.verify(request, upgrade, done);
    }
  }
  await startApp(t, { prepare: (io) => io.bind(new Own()) });
  assert.equal(warned.length, 1);
  assert.match(warned[0], /verify of the app's own engine/);
});

test("the direct engine still serves its own clients, and its events come once", async (t) => {
  const { io } = await startApp(t);
  const http = createServer();
  io.attach(http);
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  t.after(() => http.close());
  let events = 0;
  io.engine.on("initial_headers", (headers) => (headers["x-count"] = ++events));
  const response = await fetch(`http://127.0.0.1:${http.address().port}/socket.io/?EIO=4&transport=polling`);
  await response.text();
  assert.deepEqual([response.headers.get("x-count"), events], ["1", 1]);
  assert.equal(typeof io.engine.ws, "object");
});

const ENDS = [
  ["transport.close()", 1, ({ conn }) => conn.transport.close(), "transport close"],
  ["transport.close()", 2, ({ conn }) => conn.transport.close(), "transport close"],
  ["transport.socket.terminate()", 2, ({ conn }) => conn.transport.socket.terminate(), "transport close"],
  ["transport.socket._socket.destroy()", 2, ({ conn }) => conn.transport.socket._socket.destroy(), "transport close"],
  ["request.connection.destroy()", 1, ({ request }) => request.connection.destroy(), "transport error"],
  ["request.connection.destroy()", 2, ({ request }) => request.connection.destroy(), "transport close"],
  ["request.destroy()", 2, ({ request }) => request.destroy(), "transport close"],
];
for (const [what, transport, act, reason] of ENDS) {
  test(`${what} over ${transport === 1 ? "polling" : "WebSocket"} ends the session as "${reason}"`, async (t) => {
    const { io, trunk } = await startApp(t);
    const socket = await connectClient(io, trunk, 1, { transport });
    const ended = once(socket, "disconnect");
    act(socket);
    act(socket);
    assert.equal(socket.connected, true);
    assert.equal((await ended)[0], reason);
    assert.equal((await trunk.next("Close")).session, 1);
    await trunk.settle();
    assert.ok(!trunk.frames.some(({ type }) => type === "Close"));
  });
}

for (const transport of [1, 2]) {
  test(`an error at ${transport === 1 ? "polling" : "a WebSocket"} that the app emits ends the session as "transport error"`, async (t) => {
    const { io, trunk } = await startApp(t);
    const { conn } = await connectClient(io, trunk, 1, { transport });
    const { transport: face } = conn;
    const log = [];
    face.on("error", (error) => log.push(["error", error.message, conn.readyState]));
    face.on("close", () => log.push(["transport", face.readyState]));
    conn.on("close", (reason, error) => log.push(["conn", reason, error.message, face.readyState]));
    assert.equal(face.emit("error", new Error("boom")), true);
    assert.equal(face.emit("error", new Error("late")), true);
    assert.equal((await trunk.next("Close")).session, 1);
    await trunk.settle();
    const ended = ["conn", "transport error", "boom", transport === 1 ? "closed" : "closing"];
    const told = ["boom", "late"].map((message) => ["error", message, "closed"]);
    const closed = ["transport", "closed"];
    assert.deepEqual(log, transport === 1 ? [closed, ended, ...told] : [ended, ...told, closed]);
    assert.ok(!trunk.frames.some(({ type }) => type === "Close"));
  });
}

test("an error at a transport that the session has left, or does not have yet, ends nothing", async (t) => {
  const warned = captureConsole(t, "warn");
  const { io, trunk } = await startApp(t);
  const { conn } = await connectClient(io, trunk, 1);
  const { transport: left } = conn;
  conn.on("upgrading", (next) => next.emit("error", new Error("early")));
  const upgraded = once(conn, "upgrade");
  trunk.send({ type: "Upgraded", session: 1, transport: 2 });
  await upgraded;
  assert.match(warned.join(), /transport\.emit\("error"\) in a listener of upgrading/);
  assert.equal(left.emit("error", new Error("late")), true);
  await trunk.settle();
  assert.deepEqual([conn.readyState, warned.length], ["open", 1]);
  conn.transport.emit("error", new Error("boom"));
  assert.equal(conn.readyState, "closed");
});

test("the handshake's stream is not the session's any more when the client has upgraded; the WebSocket's is", async (t) => {
  const { io, trunk } = await startApp(t);
  const socket = await connectClient(io, trunk, 1);
  const upgraded = once(socket.conn, "upgrade");
  trunk.send({ type: "Upgraded", session: 1, transport: 2 });
  const [transport] = await upgraded;
  socket.request.connection.destroy();
  await trunk.settle();
  assert.equal(socket.connected, true);
  const ended = once(socket, "disconnect");
  transport.socket._socket.destroy();
  assert.equal((await ended)[0], "transport close");
  assert.equal(transport.socket.readyState, 3);
});

test("a transport's members, and what cannot be done at it", async (t) => {
  const warned = captureConsole(t, "warn");
  const { io, trunk } = await startApp(t);
  const polling = (await connectClient(io, trunk, 1)).conn.transport;
  assert.deepEqual(
    [
      polling.sid,
      polling.protocol,
      polling.supportsBinary,
      polling.handlesUpgrades,
      polling.maxHttpBufferSize,
      polling.socket,
    ],
    ["sid-1", 4, true, false, 1e6, undefined],
  );
  const { conn } = await connectClient(io, trunk, 2, { transport: 2 });
  const { socket } = conn.transport;
  assert.deepEqual(
    [conn.transport.handlesUpgrades, socket.readyState, socket.bufferedAmount, socket._socket.remoteAddress],
    [true, 1, 0, "203.0.113.7"],
  );
  conn.transport.send([{ type: "message", data: '2["raw"]' }]);
  assert.equal((await trunk.next("Send")).payload.toString(), '2["raw"]');
  conn.transport.send([{ type: "ping" }]);
  socket.ping();
  socket.ping();
  socket.on("message", () => undefined);
  assert.deepEqual(
    warned.map((line) => /: (transport\.[\w."()]+)/.exec(line)[1]),
    ["transport.send", "transport.socket.ping:", 'transport.socket.on("message"):'].map((name) =>
      name.replace(/:$/, ""),
    ),
  );
});
