import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { spawn } from "node:child_process";
import { EventEmitter } from "node:events";
import { fileURLToPath } from "node:url";
import msgpack from "socket.io-msgpack-parser";
import { adoptClient, adoptFrame, guest, HOMES, REHOMES } from "./support/homes.js";
import { startApp, types } from "./support/app.js";
import { FakeNode } from "./support/fake-node.js";

const SEEN = new Set(["Accept", "Attach", "Beside", "Close", "Send", "Recorded", "Broadcast", "Detach", "Persist"]);
/** The frames of the sessions, without those of the trunk itself. */
const seen = (trunk) => trunk.frames.filter(({ type }) => SEEN.has(type));

test("a session of another app server is made again by socket.io, and its client is told nothing", async (t) => {
  const { io, trunk, trunkline } = await startApp(t, REHOMES);
  let ran = 0;
  io.use((_socket, next) => (ran++, next()));
  const events = [];
  io.engine.on("connection", (conn) => events.push(["engine", conn.rehomed, conn.transport.name, conn.upgraded]));
  io.on("connection", (socket) => events.push(["socket", socket.id, socket.recovered, socket.conn.rehomed]));
  const socket = await adoptClient(io, trunk, 7, {
    headers: { cookie: "a=b", origin: "https://app.example" },
    url: "/socket.io/?EIO=4&transport=websocket&room=x",
    sockets: [
      guest({
        rooms: ["r", "\0n5"],
        auth: { token: "t" },
        data: { user: new Set(["u"]), bytes: Buffer.from([1, 2]) },
        issued: 1_700_000_000_000,
      }),
    ],
  });
  assert.deepEqual(events, [
    ["engine", true, "websocket", false],
    ["socket", "sock-1", true, true],
  ]);
  assert.equal(ran, 0);
  assert.deepEqual([...socket.rooms], ["sock-1", "r", 5]);
  assert.deepEqual(socket.data, { user: new Set(["u"]), bytes: Buffer.from([1, 2]) });
  const { headers, query, auth, issued, time, address, url, xdomain, secure } = socket.handshake;
  assert.deepEqual(auth, { token: "t" });
  assert.deepEqual(
    [headers.cookie, query.room, issued, time, address, url, xdomain, secure],
    [
      "a=b",
      "x",
      1_700_000_000_000,
      String(new Date(1_700_000_000_000)),
      "203.0.113.7",
      "/socket.io/?EIO=4&transport=websocket&room=x",
      true,
      false,
    ],
  );
  assert.equal(socket.conn.id, "sid-7");
  assert.equal(socket.pid, "pid-1");
  assert.equal(io.engine.clientsCount, 1);
  await trunk.settle();
  assert.deepEqual(types(seen(trunk)), ["Attach", "Accept"]);
  const [attach, accept] = seen(trunk);
  assert.deepEqual([attach.session, attach.socket, attach.rooms], [7, "sock-1", ["r", "\0n5"]]);
  assert.deepEqual([accept.sid, accept.headers, accept.lasting], ["", [], []]);
  assert.deepEqual([trunkline.stats.adopted, trunkline.stats.sessions], [1, 1]);
});

test("what the adopted session sends and gets afterwards is as ever", async (t) => {
  const { io, trunk } = await startApp(t, REHOMES);
  io.on("connection", (socket) => {
    socket.emit("welcome", socket.id);
    socket.on("ask", (value, answer) => answer(value + 1));
  });
  const socket = await adoptClient(io, trunk, 7);
  trunk.text(7, '25["ask",1]');
  const answer = await trunk.next("Send");
  assert.equal(answer.payload.toString(), "35[2]");
  const welcome = trunk.frames.find(({ type }) => type === "Recorded");
  assert.match(welcome.parts[0].data.toString(), /^2\["welcome","sock-1",/);
  assert.deepEqual(welcome.rooms, ["sock-1"]);
  const gone = once(socket, "disconnect");
  trunk.send({ type: "Close", session: 7, reason: 1, description: "" });
  assert.deepEqual((await gone).slice(0, 1), ["transport close"]);
  const persist = await trunk.next("Persist");
  assert.deepEqual([persist.session, persist.socket, persist.pid], [7, "sock-1", "pid-1"]);
});

test("a client that had upgraded before, and one on polling", async (t) => {
  const { io, trunk } = await startApp(t, REHOMES);
  const upgraded = await adoptClient(io, trunk, 1, { first: 1 });
  assert.deepEqual([upgraded.conn.transport.name, upgraded.conn.upgraded], ["websocket", true]);
  const polling = await adoptClient(io, trunk, 2, {
    sockets: [guest({ socket: "sock-2", pid: "pid-2" })],
    transport: 1,
  });
  assert.deepEqual([polling.conn.transport.name, polling.conn.upgraded], ["polling", false]);
  const upgrade = once(polling.conn, "upgrade");
  trunk.send({ type: "Upgraded", session: 2, transport: 2 });
  await upgrade;
  assert.equal(polling.conn.transport.name, "websocket");
});

const TWO = [
  guest(),
  guest({ nsp: "/room-5", socket: "sock-2", pid: "pid-2", rooms: ["x"], auth: { of: "room" }, data: { n: 2 } }),
];

test("all sockets of a session come, also those of dynamic namespaces, and the session is accepted after them", async (t) => {
  const { io, trunk } = await startApp(t, REHOMES);
  const asked = [];
  io.of((name, auth, next) => {
    asked.push([name, auth.of, auth.pid]);
    setImmediate(() => next(null, name.startsWith("/room-")));
  }).on("connection", (socket) => asked.push([socket.nsp.name, socket.handshake.auth, socket.data, socket.recovered]));
  trunk.send(adoptFrame(3, { sockets: TWO }));
  await trunk.next("Accept");
  assert.deepEqual(
    trunk.frames.filter(({ type }) => type === "Attach").map(({ socket, rooms }) => [socket, rooms]),
    [
      ["sock-1", []],
      ["sock-2", ["x"]],
    ],
  );
  assert.deepEqual(asked, [
    ["/room-5", "room", "pid-2"],
    ["/room-5", { of: "room" }, { n: 2 }, true],
  ]);
  assert.equal(
    trunk.frames.some(({ type }) => type === "Send"),
    false,
  );
});

test("a session without sockets is accepted, and its client connects as ever", async (t) => {
  const { io, trunk } = await startApp(t, REHOMES);
  trunk.send(adoptFrame(3, { sockets: [] }));
  await trunk.next("Accept");
  const connected = once(io, "connection");
  trunk.text(3, "0");
  const [socket] = await connected;
  assert.equal(socket.recovered, false);
  assert.match((await trunk.next("Send")).payload.toString(), /^0{"sid":/);
});

const REFUSALS = {
  "a middleware refuses": { skipMiddlewares: false, prepare: (io) => io.use((_socket, next) => next(new Error("no"))) },
  "the namespace is gone": { sockets: [guest(), guest({ nsp: "/gone", socket: "sock-2", pid: "pid-2" })] },
  "a dynamic namespace refuses": {
    prepare: (io) => io.of((_name, _auth, next) => next(null, false)),
    sockets: [guest({ nsp: "/gone" })],
  },
  "middlewares never end": { skipMiddlewares: false, connectTimeout: 20, prepare: (io) => io.use(() => undefined) },
  "an engine middleware fails": {
    prepare: (io) => io.engine.use((_request, _response, next) => next(new Error("no"))),
  },
  "an engine middleware answers": { prepare: (io) => io.engine.use((_request, response) => response.end("no")) },
  "allowRequest refuses": { allowRequest: (_request, done) => done("no", false) },
  "the app restores nothing": { prepare: (io) => (io.of("/").adapter.restoreSession = () => null) },
  "its state is of another release": { sockets: [guest({ state: Buffer.from([9, 9, 9]) })], warns: 1 },
  "its state was withdrawn": { sockets: [guest({ state: Buffer.alloc(0) })] },
  "clients do not change their app server": { options: { rehome: false } },
};
for (const [name, { skipMiddlewares = true, prepare, sockets, warns = 0, options, ...rest }] of Object.entries(
  REFUSALS,
)) {
  test(`a session is closed, and its client told nothing: ${name}`, async (t) => {
    const { io, trunk, trunkline, warnings } = await startApp(t, {
      ...REHOMES,
      io: { connectionStateRecovery: { skipMiddlewares }, ...rest },
      options,
    });
    prepare?.(io);
    trunk.send(adoptFrame(3, { sockets }));
    const close = await trunk.next("Close");
    assert.deepEqual([close.session, close.reason], [3, 5]);
    await trunk.settle();
    assert.equal(
      trunk.frames.some(({ type }) => type === "Send" || type === "Accept" || type === "Reject"),
      false,
    );
    assert.deepEqual([trunkline.stats.sessions, trunkline.stats.adopted, io.engine.clientsCount], [0, 0, 0]);
    assert.equal(warnings.length, warns);
    // The node's answer frees the number, as for any session.
    trunk.send({ type: "Close", session: 3, reason: 5, description: "" });
    trunk.open(3);
    await trunk.next("Accept", "Reject");
  });
}

test("engine middlewares and `allowRequest` see the handshake again, for what they leave on the request", async (t) => {
  const { io, trunk } = await startApp(t, {
    ...REHOMES,
    io: {
      connectionStateRecovery: {},
      allowRequest: (request, done) => {
        request.allowed = true;
        done(null, true);
      },
    },
  });
  io.engine.use((request, response, next) => {
    response.setHeader("x-unused", "1");
    setImmediate(() => {
      request.session = { user: request.headers.cookie };
      next();
    });
  });
  const { request } = await adoptClient(io, trunk, 1, { headers: { cookie: "c=1" }, transport: 1 });
  assert.deepEqual([request.session.user, request.allowed, request.res], ["c=1", true, undefined]);
  await trunk.next("Accept");
});

test("a client that leaves while its sockets are made: those that are connected end, and no answer is sent", async (t) => {
  const { io, trunk } = await startApp(t, { ...REHOMES, io: { connectionStateRecovery: { skipMiddlewares: false } } });
  let goOn;
  io.of("/slow").use((_socket, next) => (goOn = next));
  const slow = [];
  io.of("/slow").on("connection", (socket) => slow.push(socket.id));
  const connected = once(io, "connection");
  trunk.send(adoptFrame(3, { sockets: [guest(), guest({ nsp: "/slow", socket: "sock-2", pid: "pid-2" })] }));
  const [socket] = await connected;
  const gone = once(socket, "disconnect");
  trunk.send({ type: "Close", session: 3, reason: 1, description: "" });
  assert.equal((await gone)[0], "transport close");
  goOn();
  assert.equal((await trunk.next("Persist")).socket, "sock-1");
  assert.equal((await trunk.next("Close")).session, 3);
  await trunk.settle();
  assert.deepEqual(slow, []);
  assert.equal(
    trunk.frames.some(({ type }) => type === "Accept"),
    false,
  );
});

test("a message before the session is accepted ends the trunk: the app would get it too early", async (t) => {
  const { io, trunk } = await startApp(t, { ...REHOMES, io: { connectionStateRecovery: { skipMiddlewares: false } } });
  io.use(() => undefined);
  trunk.send(adoptFrame(3));
  trunk.text(3, '2["x"]');
  assert.match((await trunk.next("Error")).message, /before its Accept/);
});

const AT_ONCE = {
  "disconnect()": [(socket) => socket.disconnect(), ["Attach", "Send", "Detach", "Accept"], "1"],
  "disconnect(true)": [(socket) => socket.disconnect(true), ["Attach", "Send", "Detach", "Close"], "1"],
  "conn.write()": [(socket) => socket.conn.write("raw"), ["Attach", "Send", "Accept"], "raw"],
};
for (const [name, [act, frames, sent]] of Object.entries(AT_ONCE)) {
  test(`a connection handler's ${name} reaches the client at once`, async (t) => {
    const { io, trunk } = await startApp(t, REHOMES);
    io.on("connection", act);
    await adoptClient(io, trunk, 1);
    await trunk.settle();
    assert.deepEqual(types(seen(trunk)), frames);
    assert.equal(trunk.frames.find(({ type }) => type === "Send").payload.toString(), sent);
  });
}

/** A parser that makes two messages of each packet. */
const IN_HALVES = {
  Encoder: class {
    encode(packet) {
      const { data, ...head } = packet;
      return [JSON.stringify(head), Buffer.from(JSON.stringify({ data }))];
    }
  },
  Decoder: class extends EventEmitter {
    add(part) {
      if (typeof part === "string") this.reconstructor = JSON.parse(part);
      else {
        const packet = { ...this.reconstructor, ...JSON.parse(part) };
        this.reconstructor = undefined;
        this.emit("decoded", packet);
      }
    }
    destroy() {}
  },
};
for (const [name, parser, expected] of [
  ["msgpack", msgpack, ["Attach", "Send", "Detach", "Accept"]],
  ["two messages for each packet", IN_HALVES, ["Attach", "Send", "Send", "Detach", "Accept"]],
]) {
  test(`the app's own parser: ${name}`, async (t) => {
    const { io, trunk } = await startApp(t, { ...REHOMES, io: { connectionStateRecovery: {}, parser } });
    io.on("connection", (socket) => socket.disconnect());
    const socket = await adoptClient(io, trunk, 1, { sockets: [guest({ data: { n: 1 }, auth: { token: "t" } })] });
    assert.deepEqual([socket.recovered, socket.data, socket.handshake.auth], [true, { n: 1 }, { token: "t" }]);
    await trunk.settle();
    assert.deepEqual(types(seen(trunk)), expected);
  });
}

test("`auth` comes as the app's code has left it, and without what only the adoption says", async (t) => {
  const { io, trunk } = await startApp(t, REHOMES);
  const auth = { pid: "of-old", at: new Date(5), seen: new Map([[1, 2]]) };
  const socket = await adoptClient(io, trunk, 1, { sockets: [guest({ auth })] });
  assert.deepEqual(socket.handshake.auth, auth);
});

test("an app that throws in its connection handler dies before it has accepted the session", async (t) => {
  const node = await FakeNode.start(HOMES);
  t.after(() => node.stop());
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL("support/throws-on-connection.mjs", import.meta.url)), node.endpoint],
    { stdio: "ignore" },
  );
  const exited = once(child, "exit");
  const trunk = await node.trunk();
  trunk.send(adoptFrame(1));
  assert.notEqual((await exited)[0], 0);
  await trunk.closed;
  assert.deepEqual(types(seen(trunk)), ["Attach"]);
});

test("a late answer to another app server means nothing here", async (t) => {
  const { io, trunk } = await startApp(t, REHOMES);
  const socket = await adoptClient(io, trunk, 1);
  const answers = [];
  socket.emit("ask", (value) => answers.push(value));
  const ask = await trunk.next("Broadcast");
  const [, number] = /^2(\d+)\[/.exec(ask.parts[0].data.toString());
  assert.ok(Number(number) < 2 ** 28);
  trunk.text(1, '30["late"]', `3${number}["mine"]`);
  await trunk.settle();
  assert.deepEqual(answers, ["mine"]);
});
