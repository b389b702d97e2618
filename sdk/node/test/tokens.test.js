/** Clients' tokens, with nodes that hang, lie, end, are old, or come late. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Server } from "socket.io";
import { TokenError, useTrunkline } from "../dist/esm/index.js";
import { connectClient, startApp, until } from "./support/app.js";
import { FakeNode } from "./support/fake-node.js";

const info = (frames) => ({
  welcome: { info: JSON.stringify({ node: "n1", version: "0.0.0", warnings: [], frames: ["Number", ...frames] }) },
});
const seconds = () => Math.floor(Date.now() / 1000);
const claims = (exp, more = {}) => JSON.stringify({ sub: "anna", exp, ...more });
const called = (call, answer, done = 1) => ({
  type: "Called",
  requestId: call.requestId,
  done,
  answer: typeof answer === "string" ? answer : JSON.stringify(answer),
});
const isCode = (code) => (error) => error instanceof TokenError && error.code === code;

async function start(t, more = {}) {
  const { io, trunk, trunkline, node } = await startApp(t, { node: info(["Call"]) });
  const socket = await connectClient(io, trunk, 1, { claims: claims(seconds() + 600), ...more });
  return { io, trunk, tokens: trunkline.tokens, socket, node, trunkline };
}

test("what a token says is read from the handshake, and from the newest token after a refresh", async (t) => {
  const { trunk, tokens, socket } = await start(t, { claims: claims(2_000_000_000, { level: 1 }) });
  assert.deepEqual(tokens.claims(socket), { sub: "anna", exp: 2_000_000_000, level: 1 });
  assert.deepEqual(tokens.expiresAt(socket), new Date(2_000_000_000_000));
  const refreshed = tokens.refresh(socket, "the token");
  const call = await trunk.next("Call");
  assert.deepEqual([call.name, JSON.parse(call.arguments)], ["tokens.refresh", { session: 1, token: "the token" }]);
  trunk.send(called(call, { expiresAt: 2_100_000_000, claims: { sub: "anna", exp: 2_100_000_000, level: 2 } }));
  const said = { expiresAt: new Date(2_100_000_000_000), claims: { sub: "anna", exp: 2_100_000_000, level: 2 } };
  assert.deepEqual(await refreshed, said);
  assert.equal(tokens.claims(socket).level, 2);
});

test("a client without a token, and anything else with a connection, has none", async (t) => {
  const { tokens, socket } = await start(t, { claims: "" });
  assert.equal(tokens.claims(socket), undefined);
  assert.equal(tokens.expiresAt(socket), undefined);
  tokens.onExpiring(socket, () => assert.fail("nothing expires"), { before: 1e12 })();
  const foreign = { conn: {} };
  assert.equal(tokens.claims(foreign), undefined);
  tokens.onExpiring(foreign, () => assert.fail("nothing expires"))();
  await assert.rejects(tokens.refresh(foreign, "x"), isCode("session_unknown"));
  delete socket.conn.request;
  assert.equal(tokens.claims(socket), undefined);
});

test("answers come in any order, and each to its own question", async (t) => {
  const { trunk, tokens, socket } = await start(t);
  const both = [tokens.refresh(socket, "one"), tokens.revoke({ user: "bert" })];
  const refresh = await trunk.next("Call");
  const revoke = await trunk.next("Call");
  assert.notEqual(refresh.requestId, revoke.requestId);
  trunk.send(called(revoke, { sessions: 7 }), called(refresh, { expiresAt: null, claims: { sub: "anna" } }));
  assert.deepEqual(await Promise.all(both), [
    { expiresAt: undefined, claims: { sub: "anna" } },
    { nodes: 1, sessions: 7 },
  ]);
});

test("a refusal has the node's code, and the former claims stay", async (t) => {
  const { trunk, tokens, socket } = await start(t);
  const refreshed = tokens.refresh(socket, "another's");
  const said = { error: "token_of_other_user", message: "it is another's" };
  trunk.send(called(await trunk.next("Call"), said, 0));
  await assert.rejects(
    refreshed,
    (error) => isCode("token_of_other_user")(error) && error.message === "it is another's",
  );
  assert.equal(tokens.claims(socket).sub, "anna");
});

test("a session that moves to another node is asked for again", async (t) => {
  const { trunk, tokens, socket } = await start(t);
  const refreshed = tokens.refresh(socket, "x");
  for (let count = 0; count < 2; count++) {
    const call = await trunk.next("Call");
    trunk.send(called(call, { error: "session_moving", message: "it moves" }, 0));
  }
  trunk.send(called(await trunk.next("Call"), { expiresAt: null, claims: { sub: "anna" } }));
  assert.equal((await refreshed).claims.sub, "anna");
});

test("what a client sends in place of a token goes to no node", async (t) => {
  const { trunk, tokens, socket } = await start(t);
  for (const wrong of [undefined, null, 7, { a: 1 }, Array(100).fill(1e20), "x".repeat(20_000)])
    await assert.rejects(tokens.refresh(socket, wrong), isCode("token_malformed"));
  assert.equal(trunk.frames.filter(({ type }) => type === "Call").length, 0);
});

test("a node that comes while another one is waited for is told as well", async (t) => {
  const nodes = await Promise.all([FakeNode.start(info(["Call"])), FakeNode.start(info(["Call"]))]);
  const { port } = nodes[1];
  await nodes[1].stop();
  const io = new Server();
  const trunkline = useTrunkline(io, { endpoint: [nodes[0].endpoint, `http://127.0.0.1:${port}`] });
  t.after(async () => {
    await trunkline.close({ rehome: false });
    await nodes[0].stop();
    await late?.stop();
  });
  let late;
  trunkline.on("warning", () => undefined);
  const trunk = await nodes[0].trunk();
  await trunkline.ready;
  const revoked = trunkline.tokens.revoke({ user: 7 });
  const call = await trunk.next("Call");
  late = await FakeNode.start({ ...info(["Call"]), port });
  const again = await (await late.trunk()).next("Call");
  assert.deepEqual(JSON.parse(again.arguments).user, 7);
  trunk.send(called(call, { sessions: 1 }));
  assert.deepEqual(await revoked, { nodes: 1, sessions: 1 });
});

test("a date that is none is a mistake, and no revocation of everything", async (t) => {
  const { trunk, tokens } = await start(t);
  await assert.rejects(tokens.revoke({ user: "anna", signedBefore: new Date("no") }), TypeError);
  assert.equal(trunk.frames.filter(({ type }) => type === "Call").length, 0);
});

test("a trunk that ends leaves nobody waiting", async (t) => {
  const { trunk, tokens, socket } = await start(t);
  const both = [tokens.refresh(socket, "x"), tokens.revoke({ tokenId: "7" })];
  await trunk.next("Call");
  trunk.stream.terminate();
  for (const one of both) await assert.rejects(one, isCode("no_answer"));
  await assert.rejects(tokens.refresh(socket, "x"), isCode("session_unknown"));
});

test("an answer to nothing ends the trunk, and one that is no JSON is an error", async (t) => {
  const { trunk, tokens, socket } = await start(t);
  const refreshed = tokens.refresh(socket, "x");
  trunk.send(called(await trunk.next("Call"), "{"));
  await assert.rejects(refreshed, isCode("bad_answer"));
  trunk.send(called({ requestId: 99 }, {}));
  const { message } = await trunk.next("Error");
  assert.match(message, /request 99, which was never made/);
});

test("an older node is not asked", async (t) => {
  const { io, trunk, trunkline } = await startApp(t);
  const socket = await connectClient(io, trunk, 1, { claims: claims(seconds() + 600) });
  await assert.rejects(trunkline.tokens.refresh(socket, "x"), isCode("old_node"));
  await assert.rejects(trunkline.tokens.revoke({ user: "anna" }), isCode("old_node"));
  assert.equal(trunk.frames.filter(({ type }) => type === "Call").length, 0);
});

test("the end of a token is told before it, once for each token, and not after the client has gone", async (t) => {
  const { trunk, tokens, socket } = await start(t, { claims: claims(seconds() + 1) });
  const told = [];
  // Less is left than the app wants to know before: half of that.
  tokens.onExpiring(socket, (at) => told.push(at.getTime()), { before: 200_000 });
  const stop = tokens.onExpiring(socket, () => assert.fail("it was stopped"), { before: 200_000 });
  stop();
  await until(() => told.length === 1);
  const refreshed = tokens.refresh(socket, "x");
  const exp = seconds() + 2;
  trunk.send(called(await trunk.next("Call"), { expiresAt: exp, claims: { sub: "anna", exp } }));
  await refreshed;
  const refreshedAt = Date.now();
  await until(() => told.length === 2);
  assert.equal(told[1], exp * 1000);
  assert.ok(Date.now() - refreshedAt > 500, "a token that lives for a moment is no reason to ask all the time");
  const far = tokens.refresh(socket, "x");
  const later = seconds() + 10_000_000_000;
  trunk.send(called(await trunk.next("Call"), { expiresAt: later, claims: { sub: "anna", exp: later } }));
  await far;
  socket.disconnect(true);
  tokens.onExpiring(socket, () => assert.fail("it has gone"), { before: 1e15 });
  await new Promise((done) => setTimeout(done, 50));
  assert.equal(told.length, 2);
});

test("a revocation has one time for all nodes; what one of them did not take is an error", async (t) => {
  const nodes = await Promise.all([FakeNode.start(info(["Call"])), FakeNode.start(info(["Call"]))]);
  const io = new Server();
  const trunkline = useTrunkline(io, { endpoint: nodes.map(({ endpoint }) => endpoint) });
  t.after(async () => {
    await trunkline.close({ rehome: false });
    await Promise.all(nodes.map((node) => node.stop()));
  });
  const trunks = await Promise.all(nodes.map((node) => node.trunk()));
  await until(() => trunkline.stats.trunksUp === 2);
  const revoke = async (answers) => {
    const revoked = trunkline.tokens.revoke({ user: "anna", keepFor: 60 });
    const calls = await Promise.all(trunks.map((trunk) => trunk.next("Call")));
    assert.deepEqual(calls[0].arguments, calls[1].arguments);
    trunks.forEach((trunk, place) => trunk.send(called(calls[place], ...answers[place])));
    return revoked;
  };
  assert.deepEqual(await revoke([[{ sessions: 1 }], [{ sessions: 2 }]]), { nodes: 2, sessions: 3 });
  const full = [{ error: "revocations_full", message: "no room" }, 0];
  await assert.rejects(revoke([[{ sessions: 1 }], full]), isCode("revocations_full"));
});

test("a node that comes back is told what was revoked meanwhile, for the time that is left", async (t) => {
  const { trunk, tokens, node } = await start(t);
  const revoked = tokens.revoke({ user: "anna", keepFor: 60 });
  const first = await trunk.next("Call");
  trunk.send(called(first, { sessions: 1 }));
  await revoked;
  const wrong = tokens.revoke({ user: "bert", keepFor: -1 });
  trunk.send(called(await trunk.next("Call"), { error: "arguments", message: "keepFor" }, 0));
  await assert.rejects(wrong, isCode("arguments"));
  trunk.stream.terminate();
  const again = await (await node.trunk()).next("Call");
  const [before, after] = [first, again].map((call) => JSON.parse(call.arguments));
  assert.deepEqual({ ...after, keepFor: 60 }, before);
  assert.ok(after.keepFor > 50 && after.keepFor <= 60);
  const all = node.open[0].frames.filter(({ type }) => type === "Call");
  assert.equal(all.length, 0, "what no node took is not said again");
});
