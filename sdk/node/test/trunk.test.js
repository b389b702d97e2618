import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { Server } from "socket.io";
import { DEVELOPMENT_KEY, TrunklineError, useTrunkline } from "../dist/esm/index.js";
import { captureConsole, connectClient, deferred, haveServers, startApp, startCluster, until } from "./support/app.js";
import { FakeNode } from "./support/fake-node.js";

async function useRefused(t, refuse, options) {
  const node = await FakeNode.start({ refuse });
  const errors = captureConsole(t, "error");
  const trunkline = useTrunkline(new Server(), { endpoint: node.endpoint, ...options });
  t.after(async () => {
    await trunkline.close();
    await node.stop();
  });
  return { node, trunkline, errors };
}

test("the trunk opens with a token signed by the key, and says the app's options", async (t) => {
  const { node, trunk, io } = await startApp(t, {
    io: { pingInterval: 1234, path: "/my/", transports: ["websocket"], connectTimeout: 99, cors: { origin: "*" } },
  });
  const [request] = node.requests;
  assert.equal(request.url, "/trunk/v1");
  assert.equal(request.headers["sec-websocket-extensions"], undefined);
  const [head, body, signature] = request.headers.authorization.replace(/^Bearer /, "").split(".");
  assert.equal(signature, createHmac("sha256", DEVELOPMENT_KEY).update(`${head}.${body}`).digest("base64url"));
  const { versionMin, versionMax, server, sdk, settings } = trunk.hello;
  assert.deepEqual([versionMin, versionMax, sdk], [1, 1, "@trunkline/socket.io/0.1.0"]);
  assert.ok(Buffer.from(server, "base64url").length >= 12);
  const said = JSON.parse(settings);
  assert.deepEqual(
    [
      said.pingInterval,
      said.pingTimeout,
      said.path,
      said.transports,
      said.connectTimeout,
      said.maxHttpBufferSize,
      said.cors,
    ],
    [1234, 20000, "/my", ["websocket"], 99, 1e6, undefined],
  );
  assert.equal(io.engine.opts.pingInterval, 1234);
});

const FINAL = [
  [401, "token_signature"],
  [401, "token_malformed"],
  [404, "hub_unknown"],
  [400, "bad_request"],
];
for (const [status, error] of FINAL) {
  test(`HTTP ${status} ${error} is final: one error in the log, one attempt`, async (t) => {
    const { node, trunkline, errors } = await useRefused(t, () => ({
      status,
      body: { error, message: "Do this and that." },
    }));
    await assert.rejects(trunkline.ready, (reason) => {
      assert.ok(reason instanceof TrunklineError);
      assert.deepEqual([reason.code, reason.final, reason.status, reason.refusal], ["refused", true, status, error]);
      assert.match(reason.message, /Do this and that/);
      return true;
    });
    assert.equal(errors.length, 1);
    assert.match(errors[0], new RegExp(`${status} ${error}`));
    assert.ok(!errors[0].includes(DEVELOPMENT_KEY));
    assert.equal(node.requests.length, 1);
  });
}

const NOT_OURS = [
  [404, "<html><h1>404 Not Found</h1></html>"],
  [401, "Authorization Required"],
  [400, ""],
  [404, { message: "no Route matched with those values" }],
  [401, { error: "unauthorized", message: "Full authentication is required" }],
  [404, { error: { code: "hub_unknown" }, message: [] }],
];
for (const [status, body] of NOT_OURS) {
  test(`HTTP ${status} in words that are not Trunkline's is tried again: ${JSON.stringify(body)}`, async (t) => {
    let refusals = 3;
    const { node, trunkline, errors } = await useRefused(t, () => (refusals-- > 0 ? { status, body } : undefined));
    const warnings = [];
    trunkline.on("warning", (message) => warnings.push(message));
    await trunkline.ready;
    assert.deepEqual([node.requests.length, errors.length, warnings.length], [4, 0, 1]);
    assert.match(warnings[0], new RegExp(`HTTP ${status}.*trying again`));
  });
}

for (const [status, error] of FINAL) {
  test(`HTTP ${status} ${error} after the first Welcome is tried again, and said`, async (t) => {
    let refusals = 0;
    const errors = captureConsole(t, "error");
    const { trunk, trunkline, warnings } = await startApp(t, {
      node: { refuse: () => (refusals-- > 0 ? { status, body: { error, message: "Do this and that." } } : undefined) },
    });
    refusals = 3;
    const up = once(trunkline, "connect");
    trunk.stream.terminate();
    await up;
    assert.deepEqual([errors, trunkline.stats.trunksUp, warnings.length], [[], 1, 2]);
    assert.match(warnings[1], new RegExp(`HTTP ${status} ${error}: Do this and that.*trying again`));
  });
}

for (const error of ["token_expired", "token_not_yet_valid"]) {
  test(`clocks that differ are set some day: ${error} is tried again, with one warning`, async (t) => {
    let refusals = 3;
    const refuse = () =>
      refusals-- > 0 ? { status: 401, body: { error, message: `The clocks are ${refusals} s apart.` } } : undefined;
    const { node, trunkline, errors } = await useRefused(t, refuse);
    const warnings = [];
    trunkline.on("warning", (message) => warnings.push(message));
    await trunkline.ready;
    assert.deepEqual([node.requests.length, errors.length, warnings.length], [4, 0, 1]);
    assert.match(warnings[0], /The clocks are 2 s apart.*trying again/);
  });
}

test("503 is tried again until it works, with one warning", async (t) => {
  let refusals = 2;
  const { node, trunkline, errors } = await useRefused(t, () =>
    refusals-- > 0 ? { status: 503, body: { error: "draining", message: "Later." } } : undefined,
  );
  const warnings = [];
  trunkline.on("warning", (message) => warnings.push(message));
  await trunkline.ready;
  assert.equal(node.requests.length, 3);
  assert.deepEqual(errors, []);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0], /503 draining: Later/);
});

test("a rejected `ready` that nobody waits for does not end the process", async (t) => {
  const { trunkline } = await useRefused(t, () => ({
    status: 401,
    body: { error: "token_signature", message: "No." },
  }));
  const unhandled = [];
  const note = (reason) => unhandled.push(reason);
  process.on("unhandledRejection", note);
  t.after(() => process.off("unhandledRejection", note));
  const [error] = await once(trunkline, "error");
  assert.equal(error.refusal, "token_signature");
  await new Promise(setImmediate);
  assert.deepEqual(unhandled, []);
});

test("with two endpoints `ready` needs only one, and the node that refused us at first is tried again", async (t) => {
  let isWrong = true;
  const good = await FakeNode.start();
  const errors = captureConsole(t, "error");
  const bad = await FakeNode.start({
    refuse: () => (isWrong ? { status: 401, body: { error: "token_signature", message: "No." } } : undefined),
  });
  const trunkline = useTrunkline(new Server(), { endpoint: [bad.endpoint, good.endpoint] });
  trunkline.on("warning", () => undefined);
  t.after(async () => {
    await trunkline.close();
    await Promise.all([good.stop(), bad.stop()]);
  });
  await trunkline.ready;
  assert.deepEqual([trunkline.stats.trunks, trunkline.stats.trunksUp], [2, 1]);
  isWrong = false;
  await bad.trunk();
  await until(() => trunkline.stats.trunksUp === 2);
  assert.deepEqual(errors, []);
});

test("when every node of the list refuses us at the start, it is final once", async (t) => {
  const refuse = () => ({ status: 404, body: { error: "hub_unknown", message: "No." } });
  const nodes = [await FakeNode.start({ refuse }), await FakeNode.start({ refuse })];
  const errors = captureConsole(t, "error");
  const trunkline = useTrunkline(new Server(), { endpoint: nodes.map(({ endpoint }) => endpoint) });
  trunkline.on("warning", () => undefined);
  t.after(() => Promise.all(nodes.map((node) => node.stop())));
  await assert.rejects(trunkline.ready, { final: true, refusal: "hub_unknown" });
  assert.equal(errors.length, 1);
});

test("a broken trunk ends its sessions as `transport close` and comes back with the same server id", async (t) => {
  const { io, node, trunk, trunkline, warnings } = await startApp(t);
  const socket = await connectClient(io, trunk, 1);
  const disconnected = once(socket, "disconnect");
  const down = once(trunkline, "disconnect");
  trunk.stream.terminate();
  assert.equal((await disconnected)[0], "transport close");
  assert.equal((await down)[0].code, "connection");
  await once(trunkline, "connect");
  const next = await node.trunk();
  assert.equal(next.hello.server, trunk.hello.server);
  assert.deepEqual([trunkline.stats.reconnects, trunkline.stats.sessions, io.engine.clientsCount], [1, 0, 0]);
  assert.equal(warnings.length, 1);
  // Numbers and namespaces start anew.
  await next.connect(1);
  assert.ok(next.frames.some((frame) => frame.type === "Namespace"));
});

for (const code of [2, 3]) {
  const refusal = { type: "Error", code, message: "the option pingInterval cannot be honoured" };

  test(`error ${code} in place of the first Welcome is final`, async (t) => {
    const errors = captureConsole(t, "error");
    const node = await FakeNode.start({ answers: () => refusal });
    t.after(() => node.stop());
    const trunkline = useTrunkline(new Server(), { endpoint: node.endpoint });
    await assert.rejects(trunkline.ready, { final: true, code: "ended_by_node" });
    assert.match(errors[0], /pingInterval cannot be honoured/);
    assert.equal(node.requests.length, 1);
  });

  test(`error ${code} after the first Welcome is tried again: the node may be another next time`, async (t) => {
    const errors = captureConsole(t, "error");
    const { node, trunk, trunkline, warnings } = await startApp(t);
    const up = once(trunkline, "connect");
    trunk.send(refusal);
    await up;
    await node.trunk();
    assert.deepEqual(errors, []);
    assert.match(warnings[0], new RegExp(`pingInterval cannot be honoured \\(error ${code}\\).*trying again`));
  });
}

test("a key that is a function is asked for each attempt, and one that has no key yet is asked again", async (t) => {
  const node = await FakeNode.start();
  t.after(() => node.stop());
  const keys = ["first", "", "second"];
  const io = new Server();
  const trunkline = useTrunkline(io, { endpoint: node.endpoint, key: () => keys.shift() });
  t.after(() => trunkline.close());
  const warnings = [];
  trunkline.on("warning", (message) => warnings.push(message));
  await trunkline.ready;
  const message = "the key of this app server is none of this hub's keys any longer";
  (await node.trunk()).send({ type: "Error", code: 10, message });
  await once(trunkline, "connect");
  const signedBy = (key, { headers }) => {
    const [head, body, signature] = headers.authorization.replace(/^Bearer /, "").split(".");
    return signature === createHmac("sha256", key).update(`${head}.${body}`).digest("base64url");
  };
  assert.deepEqual([signedBy("first", node.requests[0]), signedBy("second", node.requests[1])], [true, true]);
  assert.equal(node.requests.length, 2);
  assert.match(warnings[0], /none of this hub's keys any longer \(error 10\)/);
  assert.match(warnings[1], /the option key gave no key: .*trying again/);
});

test("error 6 from the node is retried", async (t) => {
  const { node, trunk, warnings } = await startApp(t);
  trunk.send({ type: "Error", code: 6, message: "sessions_max" });
  await node.trunk();
  assert.match(warnings[0], /sessions_max \(error 6\)/);
});

const BROKEN = [
  ["garbage", Buffer.from("ffff", "hex"), 1],
  ["a frame of the other direction", Buffer.from("110401000000", "hex"), 1],
  ["a second Welcome", Buffer.from("02050101010100", "hex"), 1],
  ["a Message for a session that is not open", Buffer.from("13090900325b226869225d", "hex"), 1],
  ["an Upgraded for a session that is not open", Buffer.from("16020902", "hex"), 1],
  ["a mandatory type of a later version", Buffer.from("7000", "hex"), 1],
];
for (const [what, bytes, code] of BROKEN) {
  test(`${what} ends the trunk with error ${code}, and a new one follows`, async (t) => {
    const { node, trunk } = await startApp(t);
    trunk.raw(bytes);
    assert.equal((await trunk.next("Error")).code, code);
    assert.equal(await trunk.closed, 1008);
    await node.trunk();
  });
}

test("a node that chose a version of its own is refused for good", async (t) => {
  captureConsole(t, "error");
  const node = await FakeNode.start({ welcome: { version: 2 } });
  const trunkline = useTrunkline(new Server(), { endpoint: node.endpoint });
  t.after(() => node.stop());
  await assert.rejects(trunkline.ready, /version 2/);
});

test("pings are answered, and an unknown optional frame is skipped", async (t) => {
  const { trunk } = await startApp(t);
  trunk.raw(Buffer.from("900361626304021234", "hex"));
  assert.equal((await trunk.next("Pong")).token.toString("hex"), "1234");
});

test("a silent node is pinged, then given up with error 7", async (t) => {
  const { node, trunk } = await startApp(t, { node: { welcome: { pingIntervalMs: 100 } } });
  await trunk.next("Ping");
  assert.equal((await trunk.next("Error")).code, 7);
  await node.trunk();
});

test("warnings of the node reach the app's log", async (t) => {
  const warned = captureConsole(t, "warn");
  const node = await FakeNode.start({
    welcome: { info: JSON.stringify({ node: "n", version: "1", warnings: ["perMessageDeflate is ignored"] }) },
  });
  const trunkline = useTrunkline(new Server(), { endpoint: node.endpoint });
  t.after(async () => {
    await trunkline.close();
    await node.stop();
  });
  await trunkline.ready;
  assert.match(warned[0], /perMessageDeflate is ignored/);
});

test("broadcasts made before the trunk is up are sent when it is", async (t) => {
  const { trunk } = await startApp(t, {
    prepare: (io) => setImmediate(() => io.to("r").emit("early", 1)),
  });
  const { rooms, parts } = await trunk.next("Broadcast");
  assert.deepEqual([rooms, parts[0].data.toString()], [["r"], '2["early",1]']);
});

test("`close()` before the trunk is up ends the attempts", async () => {
  const trunkline = useTrunkline(new Server(), { endpoint: "http://127.0.0.1:9" });
  const reached = deferred();
  setImmediate(async () => {
    await trunkline.close();
    reached.resolve();
  });
  await reached.promise;
  await assert.rejects(trunkline.ready, { code: "closed" });
});

test("after `io.close()`, attaching a server opens the trunk anew", async (t) => {
  const { io, node, trunk, warnings } = await startApp(t);
  const old = await connectClient(io, trunk, 1);
  await io.close();
  assert.equal(old.connected, false);
  await trunk.closed;
  // Both before the trunk is up: the options are those of the server that is attached.
  io.listen(0, { pingInterval: 1234 });
  t.after(() => io.close());
  const next = await node.trunk();
  assert.equal(JSON.parse(next.hello.settings).pingInterval, 1234);
  const socket = await connectClient(io, next, 1);
  socket.join("r");
  assert.deepEqual((await next.next("Join")).rooms, ["r"]);
  assert.equal(warnings.length, 0);
});

test("attaching while `io.close()` is under way: the trunk is closed in order before the next one opens", async (t) => {
  const { io, node, trunk } = await startApp(t);
  const socket = await connectClient(io, trunk, 1);
  socket.emit("last words");
  const closed = io.close();
  // Socket.IO closes its engine some ticks later, and with it whatever was attached by then.
  await new Promise(process.nextTick);
  io.attach(createServer());
  assert.equal((await trunk.next("Send")).payload.toString(), '2["last words"]');
  await connectClient(io, await node.trunk(), 1);
  await closed;
});

test("`close()` of Trunkline is final: attaching a server leaves the trunk closed", async (t) => {
  const { io, node, trunk, trunkline } = await startApp(t);
  await trunkline.close();
  await trunk.closed;
  io.listen(0);
  t.after(() => io.close());
  // A trunk that opened would have asked before this.
  await fetch(node.endpoint);
  assert.equal(node.requests.length, 1);
});

test("other app servers are there again after the trunk was opened anew", async (t) => {
  const { apps, nodes } = await startCluster(t);
  const [a, b] = apps;
  await a.io.close();
  await haveServers(b.io, 1);
  a.io.listen(0);
  t.after(() => a.io.close());
  await nodes[0].trunk();
  await Promise.all(apps.map(({ io }) => haveServers(io, 2)));
  const heard = new Promise((resolve) => a.io.on("ping", resolve));
  b.io.serverSideEmit("ping", 1);
  assert.equal(await heard, 1);
});
