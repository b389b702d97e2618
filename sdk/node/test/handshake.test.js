import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { Server } from "socket.io";
import { connectClient, startApp, types } from "./support/app.js";

const pairs = (headers) => headers.map(({ name, value }) => `${name}: ${value}`);

test("without anything to ask, Accept is empty and comes at once", async (t) => {
  const { trunk, io } = await startApp(t);
  const connected = once(io.engine, "connection");
  trunk.open(1);
  const { sid, headers, lasting } = await trunk.next("Accept");
  assert.deepEqual([sid, headers, lasting], ["", [], []]);
  assert.equal((await connected)[0].id, "sid-1");
  assert.equal(io.engine.clientsCount, 1);
});

const REFUSALS = [
  ["polling, no message", 1, null, 403, ["content-type: application/json"], '{"code":4,"message":"Forbidden"}'],
  [
    "polling, a message",
    1,
    "thou shalt not pass",
    403,
    ["content-type: application/json"],
    '{"code":4,"message":"thou shalt not pass"}',
  ],
  ["websocket", 2, "no way", 400, ["content-type: text/html"], "no way"],
  ["websocket, no message", 2, undefined, 400, ["content-type: text/html"], "Forbidden"],
];
for (const [name, transport, message, status, headers, body] of REFUSALS) {
  test(`allowRequest refuses: ${name}`, async (t) => {
    let seen;
    const { io, trunk } = await startApp(t, {
      io: {
        allowRequest: (request, done) => {
          seen = request;
          done(message, false);
        },
      },
    });
    const failed = once(io.engine, "connection_error");
    trunk.open(1, { transport, headers: { authorization: "x" } });
    const { response } = await trunk.next("Reject");
    assert.deepEqual([response.status, pairs(response.headers), response.body.toString()], [status, headers, body]);
    const [{ req, code, message: words, context }] = await failed;
    assert.deepEqual([req === seen, code, words, context], [true, 4, "Forbidden", { message }]);
    assert.equal(seen.headers.authorization, "x");
    assert.equal(io.engine.clientsCount, 0);
  });
}

test("a v2 client is refused unless allowEIO3", async (t) => {
  const { io, trunk } = await startApp(t);
  const failed = once(io.engine, "connection_error");
  trunk.open(1, { eio: 3 });
  const { response } = await trunk.next("Reject");
  assert.deepEqual(
    [response.status, response.body.toString()],
    [400, '{"code":5,"message":"Unsupported protocol version"}'],
  );
  assert.deepEqual((await failed)[0].context, { protocol: 3 });
});

test("middlewares run in order and see request, response and query; what they set lasts, cookies do not", async (t) => {
  const log = [];
  const { trunk, io } = await startApp(t, {
    prepare: (server) => server.on("connection", (socket) => log.push(socket.request.session)),
  });
  io.engine.use((request, response, next) => {
    log.push(request._query.EIO, request.res === response);
    request.session = "kept";
    response.setHeader("X-Served-By", "app");
    response.setHeader("Set-Cookie", ["a=1", "b=2"]);
    setImmediate(next);
  });
  io.engine.use(async (_request, response, next) => {
    log.push(response.getHeader("x-served-by"));
    const { writeHead } = response;
    // The way of on-headers, which express-session and others use.
    response.writeHead = function (...args) {
      response.setHeader("x-late", "yes");
      return writeHead.apply(response, args);
    };
    next();
  });
  trunk.open(1);
  const { headers, lasting } = await trunk.next("Accept");
  assert.deepEqual(pairs(headers), ["set-cookie: a=1", "set-cookie: b=2"]);
  assert.deepEqual(pairs(lasting), ["x-served-by: app", "x-late: yes"]);
  trunk.text(1, "0");
  await trunk.next("Send");
  assert.deepEqual(log, ["4", true, "app", "kept"]);
});

test("a response is ended for polling, so that sessions are saved", async (t) => {
  const { trunk, io } = await startApp(t);
  const ended = [];
  io.engine.use((request, response, next) => {
    response.on("finish", () => ended.push(request._query.transport));
    next();
  });
  trunk.open(1);
  trunk.open(2, { transport: 2 });
  await trunk.next("Accept");
  await trunk.next("Accept");
  await trunk.settle();
  assert.deepEqual(ended, ["polling"]);
});

const ANSWERS = [
  [
    "end",
    (_request, response) => response.writeHead(418, "Teapot", { "X-A": "1" }).end("short"),
    [418, ["x-a: 1"], "short"],
  ],
  [
    "write and end",
    (_request, response) => (response.setHeader("x-b", "2"), response.write("sh"), response.end(Buffer.from("ort"))),
    [200, ["x-b: 2"], "short"],
  ],
  ["statusCode", (_request, response) => ((response.statusCode = 401), response.end()), [401, [], ""]],
  ["destroy", (request) => request.socket.destroy(), [400, [], ""]],
  [
    "error",
    (_request, _response, next) => next(new Error("x")),
    [400, ["content-type: application/json"], '{"code":3,"message":"Bad request"}'],
  ],
  [
    "throw",
    () => {
      throw new Error("x");
    },
    [400, ["content-type: application/json"], '{"code":3,"message":"Bad request"}'],
  ],
];
/**
 * Before 6.6 engine.io did not catch what a middleware throws: it is the app's uncaught exception, behind Trunkline
 * too.
 */
const catchesThrown = Object.getPrototypeOf(Object.getPrototypeOf(new Server(createServer()).eio))
  ._applyMiddlewares.toString()
  .includes("chain");

for (const [name, middleware, expected] of ANSWERS) {
  test(`a middleware that answers by itself rejects the session: ${name}`, {
    skip: name === "throw" && !catchesThrown,
  }, async (t) => {
    const { trunk, io } = await startApp(t);
    io.engine.use(middleware);
    trunk.open(1);
    const { response } = await trunk.next("Reject");
    assert.deepEqual([response.status, pairs(response.headers), response.body.toString()], expected);
    await trunk.settle();
    assert.deepEqual(types(trunk.frames), []);
  });
}

test("header events: initial_headers for the handshake, headers for every answer", async (t) => {
  const { trunk, io } = await startApp(t, { io: { cookie: { name: "io", maxAge: 60, sameSite: "strict" } } });
  io.engine.on("initial_headers", (headers, request) => {
    headers["X-First"] = request.method;
    headers["set-cookie"] = "own=1";
  });
  io.engine.on("headers", (headers) => (headers["X-Every"] = "1"));
  trunk.open(1);
  const { headers, lasting } = await trunk.next("Accept");
  assert.deepEqual(pairs(headers), [
    "set-cookie: io=sid-1; Max-Age=60; Path=/; HttpOnly; SameSite=Strict",
    "x-first: GET",
    "set-cookie: own=1",
  ]);
  assert.deepEqual(pairs(lasting), ["x-every: 1"]);
});

test("generateId: the app's own, sync or async, and its failure", async (t) => {
  const { trunk, io } = await startApp(t);
  io.engine.generateId = (request) => `own-${request._query.n}`;
  trunk.open(1, { url: "/socket.io/?EIO=4&transport=polling&n=7" });
  assert.equal((await trunk.next("Accept")).sid, "own-7");
  assert.ok(Object.hasOwn(io.engine.clients, "own-7"));
  io.engine.generateId = async () => "async-id";
  trunk.open(2);
  assert.equal((await trunk.next("Accept")).sid, "async-id");
  io.engine.generateId = () => {
    throw new Error("no ids left");
  };
  const failed = once(io.engine, "connection_error");
  trunk.open(3);
  assert.equal((await trunk.next("Reject")).response.status, 400);
  assert.equal((await failed)[0].context.name, "ID_GENERATION_ERROR");
});

test("cors: headers last, and a preflight is answered by the middleware", async (t) => {
  const { trunk } = await startApp(t, { io: { cors: { origin: "https://a.example", credentials: true } } });
  trunk.open(1, { headers: { origin: "https://a.example" } });
  const { headers, lasting } = await trunk.next("Accept");
  assert.deepEqual(headers, []);
  assert.deepEqual(pairs(lasting).sort(), [
    "access-control-allow-credentials: true",
    "access-control-allow-origin: https://a.example",
    "vary: Origin",
  ]);
  const request = {
    transport: 1,
    flags: 0,
    address: "1.2.3.4",
    port: 5,
    method: "OPTIONS",
    url: "/socket.io/?EIO=4&transport=polling",
    rawHeaders: ["origin", "https://a.example"],
    claims: "",
  };
  trunk.send({ type: "Request", requestId: 4, code: 255, context: "{}", request });
  const { requestId, response } = await trunk.next("Response");
  assert.deepEqual([requestId, response.status, response.body.length], [4, 204, 0]);
  assert.ok(pairs(response.headers).includes("access-control-allow-methods: GET,HEAD,PUT,PATCH,POST,DELETE"));
});

const REQUESTS = [
  [
    0,
    { transport: "tobi" },
    "/socket.io/?EIO=4&transport=tobi",
    "GET",
    {},
    [400, '{"code":0,"message":"Transport unknown"}'],
  ],
  [
    1,
    { sid: "x" },
    "/socket.io/?EIO=4&transport=polling&sid=x",
    "GET",
    {},
    [400, '{"code":1,"message":"Session ID unknown"}'],
  ],
  [
    2,
    { method: "POST" },
    "/socket.io/?EIO=4&transport=polling",
    "POST",
    {},
    [400, '{"code":2,"message":"Bad handshake method"}'],
  ],
  [
    1,
    { sid: "x" },
    "/socket.io/?EIO=4&transport=websocket&sid=x",
    "GET",
    { upgrade: "websocket" },
    [400, "Session ID unknown"],
  ],
  [255, {}, "/socket.io/?EIO=4&transport=polling", "OPTIONS", {}, [400, '{"code":2,"message":"Bad handshake method"}']],
];
for (const [code, context, url, method, headers, expected] of REQUESTS) {
  test(`a request that opens no session: code ${code}, ${method} ${url}`, async (t) => {
    const { trunk, io } = await startApp(t);
    const failed = once(io.engine, "connection_error");
    const rawHeaders = Object.entries(headers).flat();
    const request = {
      transport: headers.upgrade ? 2 : 1,
      flags: 0,
      address: "1.2.3.4",
      port: 5,
      method,
      url,
      rawHeaders,
      claims: "",
    };
    trunk.send({ type: "Request", requestId: 9, code, context: JSON.stringify(context), request });
    const { response } = await trunk.next("Response");
    assert.deepEqual([response.status, response.body.toString()], expected);
    const [error] = await failed;
    assert.equal(error.code, code === 255 ? 2 : code);
    if (code !== 255) assert.deepEqual(error.context, context);
  });
}

test("a middleware's response to a WebSocket handshake says `close` when the session ends", async (t) => {
  const log = [];
  const { io, trunk } = await startApp(t);
  io.engine.use((_request, response, next) => (response.on("close", () => log.push("closed")), next()));
  const { conn } = await connectClient(io, trunk, 1, { transport: 2, url: "/socket.io/?EIO=4&transport=websocket" });
  assert.deepEqual(log, []);
  conn.close();
  assert.deepEqual(log, ["closed"]);
});
