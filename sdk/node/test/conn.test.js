import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { IncomingMessage } from "node:http";
import { test } from "node:test";
import { connectClient, startApp, types, until } from "./support/app.js";

test("socket.handshake is what Socket.IO makes of a request", async (t) => {
  const { io, trunk } = await startApp(t);
  const socket = await connectClient(io, trunk, 1, {
    url: "/socket.io/?EIO=4&transport=polling&name=J%C3%B6rg+X&__proto__=1",
    flags: 1,
    address: "2001:db8::1",
    headers: {
      origin: "https://a.example",
      cookie: ["a=1", "b=2"],
      "x-many": ["1", "2"],
      "user-agent": ["first", "second"],
      "set-cookie": ["x", "y"],
    },
  });
  const { handshake } = socket;
  assert.deepEqual(
    [handshake.address, handshake.secure, handshake.xdomain, handshake.url],
    ["2001:db8::1", true, true, "/socket.io/?EIO=4&transport=polling&name=J%C3%B6rg+X&__proto__=1"],
  );
  assert.equal(handshake.query.name, "Jörg X");
  assert.deepEqual(handshake.headers, {
    host: "chat.example",
    origin: "https://a.example",
    cookie: "a=1; b=2",
    "x-many": "1, 2",
    "user-agent": "first",
    "set-cookie": ["x", "y"],
  });
  assert.ok(Math.abs(handshake.issued - Date.now()) < 60_000);
});

test("socket.request looks like an IncomingMessage and can be deleted", async (t) => {
  const { io, trunk } = await startApp(t);
  const socket = await connectClient(io, trunk, 1);
  const { request, conn } = socket;
  assert.ok(request instanceof IncomingMessage);
  assert.deepEqual(
    [request.method, request.httpVersion, request.url],
    ["GET", "1.1", "/socket.io/?EIO=4&transport=polling"],
  );
  assert.deepEqual(request.rawHeaders, ["host", "chat.example"]);
  assert.deepEqual(request.headersDistinct, Object.assign(Object.create(null), { host: ["chat.example"] }));
  assert.equal(request.connection, request.socket);
  assert.deepEqual(
    [request.socket.remoteAddress, request.socket.remotePort, request.socket.remoteFamily, request.socket.encrypted],
    ["203.0.113.7", 50412, "IPv4", false],
  );
  request.user = "mine";
  assert.equal(socket.request.user, "mine");
  await once(request, "end");
  request.resume().on("error", () => undefined);
  assert.ok(Object.hasOwn(conn, "request"));
  delete conn.request;
  assert.equal(socket.request, undefined);
});

test("socket.conn has the face of engine.io's socket", async (t) => {
  const { io, trunk } = await startApp(t);
  const { conn } = await connectClient(io, trunk, 1, { sid: "the-sid" });
  assert.deepEqual(
    [
      conn.id,
      conn.readyState,
      conn.protocol,
      conn.remoteAddress,
      conn.upgraded,
      conn.transport.name,
      conn.transport.writable,
      conn.server === io.engine,
    ],
    ["the-sid", "open", 4, "203.0.113.7", false, "polling", true, true],
  );
  assert.equal(io.engine.clients["the-sid"], conn);
  const upgraded = once(conn, "upgrade");
  trunk.send({ type: "Upgraded", session: 1, transport: 2 });
  const [transport] = await upgraded;
  assert.deepEqual([transport.name, conn.transport === transport, conn.upgraded], ["websocket", true, true]);
  conn.close();
  conn.close();
  assert.deepEqual([conn.readyState, io.engine.clients["the-sid"], io.engine.clientsCount], ["closed", undefined, 0]);
});

test("conn emits packet, data, message, packetCreate, flush, drain and calls back", async (t) => {
  const { io, trunk } = await startApp(t);
  const { conn } = await connectClient(io, trunk, 1);
  const log = [];
  for (const event of ["packet", "data", "message", "packetCreate"])
    conn.on(event, (value) => log.push([event, value.data ?? value]));
  conn.on("flush", ([packet]) => log.push(["flush", packet.data]));
  conn.on("drain", () => log.push(["drain"]));
  trunk.text(1, '2["x"]');
  await trunk.settle();
  conn.write("4x", {}, (transport) => log.push(["sent", transport.name]));
  await trunk.next("Send");
  assert.deepEqual(log, [
    ["packet", '2["x"]'],
    ["data", '2["x"]'],
    ["message", '2["x"]'],
    ["packetCreate", "4x"],
    ["sent", "polling"],
    ["flush", "4x"],
    ["drain"],
  ]);
});

test("whoever replaces conn.emit sees every event, and once counts as listening", async (t) => {
  const { io, trunk } = await startApp(t);
  const { conn } = await connectClient(io, trunk, 1);
  const seen = [];
  conn.once("packet", ({ data }) => seen.push(["once", data]));
  conn.prependOnceListener("message", (data) => seen.push(["first", data]));
  trunk.text(1, '2["a"]');
  trunk.text(1, '2["b"]');
  await trunk.settle();
  assert.deepEqual(seen.splice(0), [
    ["once", '2["a"]'],
    ["first", '2["a"]'],
  ]);
  const { emit } = conn;
  conn.emit = function (event, ...args) {
    seen.push(event);
    return emit.call(this, event, ...args);
  };
  trunk.text(1, '2["c"]');
  await trunk.settle();
  assert.deepEqual(seen, ["packet", "data", "message"]);
});

test("listeners of a conn come and go as any emitter's", async (t) => {
  const { io, trunk } = await startApp(t);
  const { conn } = await connectClient(io, trunk, 1);
  assert.ok(conn instanceof EventEmitter);
  assert.deepEqual(conn.eventNames().sort(), ["close", "data", "error"]);
  assert.deepEqual([conn.listenerCount("toString"), conn.emit("constructor")], [0, false]);
  const seen = [];
  const listener = (data) => seen.push(data);
  conn.on("data", listener);
  trunk.text(1, '2["a"]');
  await trunk.settle();
  conn.off("data", listener);
  conn.once("data", (data) => seen.push(`${data} once`));
  trunk.text(1, '2["b"]', '2["c"]');
  await trunk.settle();
  assert.deepEqual(seen, ['2["a"]', '2["b"] once']);
  conn.removeAllListeners();
  assert.deepEqual([conn.eventNames(), conn.emit("data", "x")], [[], false]);
  trunk.text(1, '2["d"]');
  await trunk.settle();
  conn.on("data", listener);
  trunk.text(1, '2["e"]');
  await trunk.settle();
  assert.equal(seen.at(-1), '2["e"]');
});

test("what a listener returns is looked at where Node.js looks at it", async (t) => {
  EventEmitter.captureRejections = true;
  t.after(() => (EventEmitter.captureRejections = false));
  const { io, trunk } = await startApp(t);
  const { conn } = await connectClient(io, trunk, 1);
  conn.removeAllListeners();
  const failed = once(conn, "error");
  conn.on("data", async () => {
    throw new Error("later");
  });
  trunk.text(1, '2["a"]');
  const [error] = await failed;
  assert.equal(error.message, "later");
});

for (const [text, query] of [
  ["?EIO=4&transport=websocket", { EIO: "4", transport: "websocket" }],
  ["?EIO=4&transport=polling", { EIO: "4", transport: "polling" }],
  ["?EIO=4&transport=polling&t=abc", { EIO: "4", transport: "polling", t: "abc" }],
  ["?a=1&EIO=4&transport=polling", { a: "1", EIO: "4", transport: "polling" }],
]) {
  test(`the query of ${text} is the client's own object`, async (t) => {
    const { io, trunk } = await startApp(t);
    const queries = [];
    for (const session of [1, 2]) {
      const { handshake, request } = await connectClient(io, trunk, session, { url: `/socket.io/${text}` });
      assert.equal(handshake.query, request._query);
      queries.push(handshake.query);
    }
    assert.deepEqual(queries, [query, query]);
    assert.deepEqual(Object.keys(queries[0]), Object.keys(query));
    queries[0].mine = "x";
    assert.equal(queries[1].mine, undefined);
  });
}

test("a transport that is first looked at late is the one of now", async (t) => {
  const { io, trunk } = await startApp(t);
  const { conn } = await connectClient(io, trunk, 1);
  trunk.send({ type: "Upgraded", session: 1, transport: 2 });
  await once(conn, "upgrade");
  assert.deepEqual([conn.transport.name, conn.transport.readyState], ["websocket", "open"]);
  const other = await connectClient(io, trunk, 2);
  const closed = once(other.conn, "close");
  other.conn.close();
  await closed;
  assert.deepEqual([other.conn.transport.name, other.conn.transport.readyState], ["polling", "closed"]);
});

test("engine.clients, read at any time, has the sessions of that time, and stays the same object", async (t) => {
  const { io, trunk } = await startApp(t);
  const one = await connectClient(io, trunk, 1, { sid: "one" });
  await connectClient(io, trunk, 2, { sid: "two" });
  one.conn.close();
  const { clients } = io.engine;
  assert.deepEqual(Object.keys(clients), ["two"]);
  const three = await connectClient(io, trunk, 3, { sid: "three" });
  assert.equal(clients.three, three.conn);
  assert.equal(io.engine.clients, clients);
  clients.two.close();
  assert.deepEqual([Object.keys(clients), io.engine.clientsCount], [["three"], 1]);
  assert.ok(Object.keys(io.engine).includes("clients"));
});

test("clientsCount counts sessions, though two have one id, and flush is heard whoever left", async (t) => {
  const { io, trunk } = await startApp(t);
  await connectClient(io, trunk, 1, { sid: "same" });
  const { conn } = await connectClient(io, trunk, 2, { sid: "same" });
  assert.deepEqual([io.engine.clientsCount, io.engine.clients.same === conn], [2, true]);
  trunk.send({ type: "Close", session: 1, reason: 1, description: "" });
  await until(() => io.engine.clientsCount === 1);
  assert.equal(io.engine.clients.same, conn);
  io.engine.removeAllListeners("flush");
  const flushed = once(io.engine, "flush");
  conn.write("4x");
  assert.equal((await flushed)[0], conn);
});

const WRITES = [
  ["abc", 8, "abc"],
  ["", 8, ""],
  [undefined, 8, ""],
  [0, 8, ""],
  [12, 8, "12"],
  ["ü漢😀", 8, "ü漢😀"],
  [Buffer.from("bin"), 9, "bin"],
  [new Uint8Array([65, 66, 67]).subarray(1), 9, "BC"],
  [new Uint8Array([68, 69]).buffer, 9, "DE"],
  [new DataView(new Uint8Array([70, 71, 72]).buffer, 1, 1), 9, "G"],
];
test("everything that engine.io can send is sent", async (t) => {
  const { io, trunk } = await startApp(t);
  const { conn } = await connectClient(io, trunk, 1);
  for (const [data, flags, expected] of WRITES) {
    conn.send(data);
    const send = await trunk.next("Send");
    assert.deepEqual([send.flags, send.payload.toString()], [flags, expected]);
  }
  conn.send("plain", { compress: false });
  assert.equal((await trunk.next("Send")).flags, 0);
});

test("a volatile packet is volatile once, its attachments are attached to it", async (t) => {
  const { io, trunk } = await startApp(t);
  const socket = await connectClient(io, trunk, 1);
  socket.volatile.emit("pic", Buffer.from("a"), Buffer.from("b"));
  socket.volatile.emit("next");
  socket.compress(false).emit("plain", Buffer.from("c"));
  const flags = [];
  for (let index = 0; index < 6; index++) flags.push((await trunk.next("Send")).flags);
  assert.deepEqual(flags, [8 | 2, 8 | 4 | 1, 8 | 4 | 1, 8 | 2, 0, 1]);
});

test("what is written after the end goes nowhere", async (t) => {
  const { io, trunk } = await startApp(t);
  const socket = await connectClient(io, trunk, 1);
  const { conn } = socket;
  conn.close();
  conn.write("late");
  socket.emit("late");
  await trunk.next("Close");
  await trunk.settle();
  assert.deepEqual(types(trunk.frames.filter((frame) => frame.type === "Send")), []);
});

test("a client without a namespace is closed by Socket.IO's connectTimeout", async (t) => {
  const { trunk } = await startApp(t, { io: { connectTimeout: 20 } });
  trunk.open(1);
  assert.equal((await trunk.next("Close")).reason, 5);
});

const ENDS = [
  ["disconnect()", (socket) => socket.disconnect(), "server namespace disconnect", ["Send", "Detach"]],
  ["disconnect(true)", (socket) => socket.disconnect(true), "server namespace disconnect", ["Send", "Detach", "Close"]],
  ["conn.close()", (socket) => socket.conn.close(), "forced close", ["Close"]],
  [
    "io.disconnectSockets(true)",
    (_socket, io) => io.disconnectSockets(true),
    "server namespace disconnect",
    ["Send", "Detach", "Close"],
  ],
];
for (const [name, end, words, frames] of ENDS) {
  test(`${name} gives "${words}"`, async (t) => {
    const { io, trunk } = await startApp(t);
    const socket = await connectClient(io, trunk, 1);
    await trunk.settle();
    trunk.frames.length = 0;
    const disconnected = once(socket, "disconnect");
    end(socket, io);
    assert.equal((await disconnected)[0], words);
    await trunk.settle();
    assert.deepEqual(types(trunk.frames), frames);
  });
}

const CLIENT_ENDS = [
  ["a disconnect packet", ["1"], "client namespace disconnect"],
  ["a packet that cannot be parsed", ["2[bad"], "forced close"],
  ["a packet for a namespace never joined", ['2/never,["x"]'], "forced close"],
];
for (const [name, messages, words] of CLIENT_ENDS) {
  test(`${name} gives "${words}"`, async (t) => {
    const { io, trunk } = await startApp(t);
    const socket = await connectClient(io, trunk, 1);
    const disconnected = new Promise((resolve) => socket.on("disconnect", resolve));
    trunk.text(1, ...messages);
    assert.equal(await disconnected, words);
  });
}

test("a v2 client gets its main namespace at once", async (t) => {
  const { io, trunk } = await startApp(t, { io: { allowEIO3: true } });
  const connected = once(io, "connection");
  trunk.open(1, { eio: 3, sid: "old" });
  const [socket] = await connected;
  assert.equal(socket.id, "old");
  assert.equal((await trunk.next("Send")).payload.toString(), "0");
});

test("a transport says `close` when the connection ends, before the connection does", async (t) => {
  const { io, trunk } = await startApp(t);
  const log = [];
  for (const session of [1, 2]) {
    const { conn } = await connectClient(io, trunk, session);
    conn.transport.on("close", () => log.push(["transport", session, conn.transport.readyState]));
    conn.on("close", (reason) => log.push(["conn", session, reason]));
    if (session === 1) conn.close();
    else trunk.send({ type: "Close", session, reason: 3, description: "" });
  }
  await trunk.settle();
  assert.deepEqual(log, [
    ["transport", 1, "closed"],
    ["conn", 1, "forced close"],
    ["transport", 2, "closed"],
    ["conn", 2, "ping timeout"],
  ]);
});

test("a connection that is closed while it upgrades does not upgrade", async (t) => {
  const { io, trunk } = await startApp(t);
  const { conn } = await connectClient(io, trunk, 1);
  const log = [];
  conn.on("upgrading", (transport) => {
    transport.on("close", () => log.push(`${transport.name} closed`));
    conn.close();
  });
  conn.on("upgrade", () => log.push("upgraded"));
  trunk.send({ type: "Upgraded", session: 1, transport: 2 });
  await trunk.settle();
  assert.deepEqual([log, conn.upgraded, conn.transport.name], [["websocket closed"], false, "polling"]);
});
