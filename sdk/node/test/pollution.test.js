/** An enumerable property on Object.prototype breaks nothing. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { connectClient, startApp, types } from "./support/app.js";

test("a session's whole life under an enumerable property on Object.prototype", async (t) => {
  Object.defineProperty(Object.prototype, "polluted", {
    value: () => "x",
    enumerable: true,
    configurable: true,
    writable: true,
  });
  t.after(() => delete Object.prototype.polluted);
  const { io, trunk, trunkline } = await startApp(t, { options: { close: "at once" } });
  io.engine.use((_request, response, next) => (response.setHeader("x-a", "1"), next()));
  io.engine.on("initial_headers", (headers) => (headers["x-b"] = "2"));
  trunk.open(9);
  const { headers, lasting } = await trunk.next("Accept");
  assert.deepEqual(
    [headers, lasting].flat().map(({ name }) => name),
    ["x-b", "x-a"],
  );
  const socket = await connectClient(io, trunk, 1, {
    headers: { polluted: "header", cookie: ["a=1", "b=2"] },
    url: "/socket.io/?EIO=4&transport=polling&polluted=yes",
  });
  assert.deepEqual(
    [socket.handshake.headers.cookie, socket.handshake.headers.polluted, socket.handshake.query.polluted],
    ["a=1; b=2", "header", "yes"],
  );
  socket.on("echo", (value, done) => done(value));
  trunk.text(1, '20["echo",{"a":1}]');
  assert.equal((await trunk.next("Send")).payload.toString(), '30[{"a":1}]');
  io.emit("all", 1);
  await trunk.next("Broadcast");
  assert.equal(trunkline.stats.sessions, 2);
  const disconnected = once(socket, "disconnect");
  await io.close();
  assert.equal((await disconnected)[0], "server shutting down");
  await trunk.closed;
  assert.deepEqual(
    types(trunk.frames).filter((type) => type === "Close" || type === "Error"),
    ["Close", "Close"],
  );
});
