/** `everyRequest`: the node asks about each request of a session, and engine middlewares see it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { startApp, until } from "./support/app.js";
import { openFrame } from "./support/fake-node.js";

const ABLE = { welcome: { info: JSON.stringify({ node: "n1", version: "9", warnings: [], everyRequest: true }) } };
const start = (t, prepare) => startApp(t, { node: ABLE, options: { everyRequest: true }, prepare });

/** A request of session 1. */
function about(requestId, { method = "GET", transport = 1, headers, sid = "sid-1" } = {}) {
  const { request } = openFrame(1, {
    method,
    transport,
    headers,
    url: `/socket.io/?EIO=4&transport=${transport === 1 ? "polling" : "websocket"}&sid=${sid}`,
  });
  return { type: "Request", requestId, code: 255, context: "{}", request };
}

const flat = (headers) => headers.map(({ name, value }) => `${name}: ${value}`);

test("middlewares and `headers` see the handshake and each request; what they set is for one answer", async (t) => {
  const seen = [];
  let count = 0;
  const { io, trunk } = await start(t);
  assert.equal(JSON.parse(trunk.hello.settings).everyRequest, true);
  io.engine.use((request, response, next) => {
    seen.push([request.method, request._query.sid, request.headers["x-who"]]);
    response.setHeader("x-count", ++count);
    response.appendHeader("set-cookie", `rolling=${count}`);
    next();
  });
  io.engine.on("initial_headers", (headers) => (headers["x-first"] = "yes"));
  io.engine.on("headers", (headers, request) => (headers["x-each"] = request._query.sid ?? "new"));
  trunk.open(1);
  const { headers, lasting } = await trunk.next("Accept");
  assert.deepEqual(
    [flat(headers).sort(), lasting],
    [["set-cookie: rolling=1", "x-count: 1", "x-each: new", "x-first: yes"], []],
  );
  trunk.send(about(7, { headers: { "x-who": "me" } }), about(8, { method: "POST" }));
  for (const [id, number] of [
    [7, 2],
    [8, 3],
  ]) {
    const { requestId, response } = await trunk.next("Response");
    assert.equal(requestId, id);
    assert.deepEqual(flat(response.headers).sort(), [
      ":proceed: ",
      `set-cookie: rolling=${number}`,
      `x-count: ${number}`,
      "x-each: sid-1",
    ]);
  }
  assert.deepEqual(seen, [
    ["GET", undefined, undefined],
    ["GET", "sid-1", "me"],
    ["POST", "sid-1", undefined],
  ]);
});

test("a middleware that fails, answers by itself, or throws the stream away has the last word", async (t) => {
  const errors = [];
  const { io, trunk } = await start(t);
  io.engine.on("connection_error", ({ code, context }) => errors.push([code, context]));
  io.engine.use((request, response, next) => {
    const mode = request.headers["x-mode"];
    if (mode === "fail") next(new Error("no"));
    else if (mode === "answer") response.writeHead(429, { "retry-after": "3" }).end("slow down");
    else if (mode === "destroy") request.socket.destroy();
    else next();
  });
  trunk.open(1);
  await trunk.next("Accept");
  const answers = [];
  for (const [id, mode] of ["fail", "answer", "destroy"].entries()) {
    trunk.send(about(id, { headers: { "x-mode": mode } }));
    const { response } = await trunk.next("Response");
    answers.push([
      response.status,
      flat(response.headers).filter((header) => !header.startsWith("content-")),
      response.body.toString(),
    ]);
  }
  assert.deepEqual(answers, [
    [400, [], '{"code":3,"message":"Bad request"}'],
    [429, ["retry-after: 3"], "slow down"],
    [400, [], ""],
  ]);
  assert.deepEqual(errors, [[3, { name: "MIDDLEWARE_FAILURE" }]]);
});

test("an upgrade is asked about, too; its response says `close` with the session, a poll's at once", async (t) => {
  const closed = [];
  const { io, trunk } = await start(t);
  io.engine.use((request, response, next) => {
    response.once("close", () => closed.push(`${request._query.transport} ${request._query.sid ?? "new"}`));
    next();
  });
  const connection = once(io.engine, "connection");
  trunk.open(1);
  const [conn] = await connection;
  await trunk.next("Accept");
  trunk.send(about(1, { transport: 2 }), about(2));
  assert.equal((await trunk.next("Response")).response.headers[0].name, ":proceed");
  await until(() => closed.includes("polling sid-1"));
  assert.ok(!closed.includes("websocket sid-1"));
  conn.close();
  await until(() => closed.includes("websocket sid-1"));
});

test("a preflight is answered as ever", async (t) => {
  const { trunk } = await startApp(t, {
    node: ABLE,
    options: { everyRequest: true },
    io: { cors: { origin: "http://a.example" } },
  });
  trunk.send(about(1, { method: "OPTIONS" }));
  assert.equal((await trunk.next("Response")).response.status, 204);
});

test("a node that cannot ask is named, and the handshake's headers last as ever", async (t) => {
  const { io, trunk, warnings } = await startApp(t, { options: { everyRequest: true } });
  io.engine.use((_request, response, next) => (response.setHeader("x-a", "1"), next()));
  trunk.open(1);
  assert.deepEqual(flat((await trunk.next("Accept")).lasting), ["x-a: 1"]);
  await until(() => warnings.length > 0);
  assert.match(warnings.join(), /everyRequest: node n1 of version 0\.0\.0 cannot do this/);
});
