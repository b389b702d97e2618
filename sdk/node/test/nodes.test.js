// The set of trunks: nodes that others name come and go, and there is never more than one trunk to a node.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, connect as connectTcp } from "node:net";
import { test } from "node:test";
import { Server } from "socket.io";
import { useTrunkline } from "../dist/esm/index.js";
import { haveServers, until } from "./support/app.js";
import { FakeNode } from "./support/fake-node.js";

const FRAMES = ["Number", "Reattach", "Prove", "GiveBack", "Load"];
const infoOf = (id) => JSON.stringify({ node: id, version: "0.0.0", warnings: [], frames: FRAMES });

/** Nodes of one cluster; each lists all. */
async function startNodes(t, ids, options = {}) {
  const nodes = await Promise.all(ids.map((id) => FakeNode.start({ welcome: { info: infoOf(id) }, ...options })));
  t.after(() => Promise.all(nodes.map((node) => node.stop().catch(() => undefined))));
  for (const node of nodes) node.list(nodes.map((each) => each.listed()));
  return nodes;
}

function startApp(t, endpoint, { io = new Server(), ...options } = {}) {
  const trunkline = useTrunkline(io, { endpoint, ...options });
  const told = { warnings: [], connects: [], disconnects: [] };
  trunkline.on("warning", (message) => told.warnings.push(message));
  trunkline.on("connect", ({ node }) => told.connects.push(node));
  trunkline.on("disconnect", (error) => told.disconnects.push(error));
  t.after(() => trunkline.close({ rehome: false }));
  return { io, trunkline, ...told };
}

/** A balancer that deals its streams out in turn; `to` may change. */
async function startBalancer(t, nodes) {
  const balancer = { to: nodes, next: 0, streams: new Set() };
  const server = createServer((stream) => {
    const { port } = balancer.to[balancer.next++ % balancer.to.length];
    const further = connectTcp(port, "127.0.0.1");
    for (const end of [stream, further]) {
      balancer.streams.add(end);
      end.on("error", () => undefined);
    }
    stream.pipe(further).pipe(stream);
    stream.on("close", () => further.destroy());
    further.on("close", () => stream.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const stream of balancer.streams) stream.destroy();
    server.close();
  });
  return Object.assign(balancer, { endpoint: `http://127.0.0.1:${server.address().port}` });
}

const listOf = (nodes) => nodes.map((node) => node.listed());
const tellAll = (nodes, list) => nodes.forEach((node) => node.list(list));

test("one address is enough: each node has one trunk, and what the app broadcasts goes to all of them", async (t) => {
  const nodes = await startNodes(t, ["a", "b", "c"]);
  const { io, trunkline, connects, warnings } = startApp(t, nodes[0].endpoint);
  await trunkline.ready;
  await until(() => trunkline.stats.trunksUp === 3);
  assert.deepEqual([connects.sort(), trunkline.stats.trunks], [["a", "b", "c"], 3]);
  const trunks = await Promise.all(nodes.map((node) => node.trunk()));
  io.emit("x", 1);
  for (const trunk of trunks) {
    const { parts } = await trunk.next("Broadcast");
    assert.equal(parts[0].data.toString(), '2["x",1]');
    assert.deepEqual(trunk.numbers, [{ type: "Number", high: 0, low: 1 }]);
  }
  assert.deepEqual(warnings, []);
});

test("a balanced address is enough, and its trunk never replaces another one", async (t) => {
  const nodes = await startNodes(t, ["a", "b", "c"]);
  const balancer = await startBalancer(t, nodes);
  const { trunkline, disconnects, warnings } = startApp(t, balancer.endpoint);
  await until(() => trunkline.stats.trunksUp === 3);
  // The node where the address led leaves: the address leads to nodes that have a trunk already.
  tellAll(nodes.slice(1), listOf(nodes).slice(1));
  balancer.to = nodes.slice(1);
  await nodes[0].stop();
  await until(() => nodes.slice(1).some(({ requests }) => requests.length > 1));
  await until(() => trunkline.nodes.trunks.some(({ isSpare }) => isSpare));
  const { trunks, trunksUp } = trunkline.stats;
  assert.deepEqual([trunks, trunksUp, disconnects.length, warnings.length], [2, 2, 1, 1]);
  assert.match(warnings[0], /its sessions have ended, trying again/);
});

test("two addresses of one node have one trunk", async (t) => {
  const [node] = await startNodes(t, ["a"]);
  const other = node.endpoint.replace("127.0.0.1", "localhost");
  const { trunkline, connects, disconnects } = startApp(t, [node.endpoint, other]);
  await trunkline.ready;
  await until(() => node.requests.length >= 2 && trunkline.stats.trunks === 1);
  assert.deepEqual([connects, disconnects, trunkline.stats.trunksUp], [["a"], [], 1]);
});

test("a node that joins is found, with the number of the next broadcast; one that leaves is forgotten quietly", async (t) => {
  const nodes = await startNodes(t, ["a", "b"]);
  const { io, trunkline, warnings, disconnects } = startApp(t, nodes[0].endpoint);
  await until(() => trunkline.stats.trunksUp === 2);
  io.emit("x");
  const [c] = await startNodes(t, ["c"]);
  tellAll(nodes, listOf([...nodes, c]));
  const trunk = await c.trunk();
  await trunk.settle();
  assert.deepEqual(trunk.numbers, [{ type: "Number", high: 0, low: 2 }]);
  assert.equal(trunkline.stats.trunksUp, 3);
  const list = [...listOf(nodes), c.listed({ state: 2 })];
  tellAll([...nodes, c], list);
  c.options.refuse = () => ({ status: 503, body: { error: "draining", message: "Later." } });
  trunk.send({ type: "Drain", deadlineMs: 10 });
  await trunk.settle();
  trunk.stream.close(1001);
  await until(() => disconnects.length === 1);
  tellAll(nodes, [...listOf(nodes), c.listed({ state: 3 })]);
  await until(() => trunkline.stats.trunks === 2);
  assert.deepEqual([warnings, disconnects[0].endpoint], [[], new URL(c.endpoint).host]);
});

test("what a leaving node refuses is not reported, unless it still does after a minute", async (t) => {
  const nodes = await startNodes(t, ["a", "b"]);
  const [a, b] = nodes;
  const { trunkline, warnings, disconnects } = startApp(t, a.endpoint);
  await until(() => trunkline.stats.trunksUp === 2);
  const trunk = await b.trunk();
  tellAll(nodes, [a.listed(), b.listed({ state: 2 })]);
  await trunk.settle();
  b.options.refuse = () => ({ status: 503, body: { error: "draining", message: "Later." } });
  const tries = b.requests.length;
  trunk.stream.close(1001);
  await until(() => disconnects.length === 1 && b.requests.length >= tries + 2);
  assert.deepEqual(warnings, []);
  const now = performance.now();
  t.mock.method(performance, "now", () => now + 61_000);
  await until(() => warnings.length === 1);
  assert.match(warnings[0], /draining.*trying again/);
});

test("a node that was lost at one address is not reported again when it cannot be reached at the next one", async (t) => {
  const [a, b] = await startNodes(t, ["a", "b"]);
  const { trunkline, warnings } = startApp(t, a.endpoint);
  await until(() => trunkline.stats.trunksUp === 2);
  const refuse = () => ({ status: 503, body: { error: "draining", message: "Later." } });
  const [elsewhere] = await startNodes(t, ["b"], { refuse });
  await b.stop();
  await until(() => warnings.length === 1);
  a.list([a.listed(), elsewhere.listed()]);
  await until(() => elsewhere.requests.length >= 2);
  assert.equal(warnings.length, 1);
});

test("a node that dies is tried while it is listed, and forgotten when it is not, but not at once", async (t) => {
  const nodes = await startNodes(t, ["a", "b"]);
  const { trunkline, warnings } = startApp(t, nodes[0].endpoint);
  await until(() => trunkline.stats.trunksUp === 2);
  const { port } = nodes[1];
  await nodes[1].stop();
  await until(() => trunkline.stats.trunksUp === 1 && warnings.length === 1);
  tellAll([nodes[0]], listOf([nodes[0]]));
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(trunkline.stats.trunks, 2);
  const again = await FakeNode.start({ welcome: { info: infoOf("b") }, port });
  t.after(() => again.stop());
  await until(() => trunkline.stats.trunksUp === 2);
  await again.stop();
  await until(() => trunkline.stats.trunksUp === 1);
  await until(() => [...trunkline.nodes.places.values()].some(({ missingSince }) => missingSince !== undefined));
  const now = performance.now();
  t.mock.method(performance, "now", () => now + 61_000);
  await until(() => trunkline.stats.trunks === 1);
});

test("a list that lies is not believed: ids, addresses, repeats, and too many", async (t) => {
  const [a, b] = await startNodes(t, ["a", "b"]);
  a.list([]);
  const { trunkline, warnings } = startApp(t, a.endpoint);
  await trunkline.ready;
  const entry = (id, url = "http://127.0.0.1:1") => ({ id, number: 2, url, state: 1 });
  const many = Array.from({ length: 1000 }, (_, index) => entry(`n${index}`, ""));
  a.list([
    entry(""),
    entry("x".repeat(129)),
    entry("bad", "no address"),
    entry("user", "http://user:secret@127.0.0.1:1"),
    entry("file", "file:///etc/passwd"),
    b.listed(),
    b.listed({ url: "http://127.0.0.1:2" }),
    ...many,
  ]);
  await until(() => trunkline.stats.trunksUp === 2);
  assert.equal(trunkline.stats.trunks, 2);
  const text = warnings.join("\n");
  for (const word of [/id twice/, /node bad names an address that is none/, /node user/, /node file/, /too long/])
    assert.match(text, word);
  assert.equal(warnings.length, 5);
  a.list([]);
  a.list(listOf([a, b]));
  await trunkline.nodes.trunks[0].fence();
  assert.equal(trunkline.stats.trunksUp, 2);
});

test("an address that cannot be reached is reported once, with where it is from", async (t) => {
  const [a] = await startNodes(t, ["a"]);
  a.list([a.listed(), { id: "b", number: 2, url: "http://127.0.0.1:1", state: 1 }]);
  const { trunkline, warnings } = startApp(t, a.endpoint);
  await until(() => warnings.length === 1);
  assert.match(warnings[0], /trying again.*other nodes name this address for node b/);
  assert.deepEqual([trunkline.stats.trunks, trunkline.stats.trunksUp], [2, 1]);
});

test("`io.close()` closes the trunks to all nodes, and no node is looked for afterwards; a new start finds them again", async (t) => {
  const nodes = await startNodes(t, ["a", "b"]);
  const { io, trunkline } = startApp(t, nodes[0].endpoint);
  await until(() => trunkline.stats.trunksUp === 2);
  const trunks = await Promise.all(nodes.map((node) => node.trunk()));
  const closed = io.close();
  tellAll([nodes[0]], [...listOf(nodes), { id: "c", number: 3, url: "http://127.0.0.1:1", state: 1 }]);
  await closed;
  assert.deepEqual(await Promise.all(trunks.map((trunk) => trunk.closed)), [1000, 1000]);
  assert.equal(trunkline.stats.trunksUp, 0);
  io.listen(0);
  await until(() => trunkline.stats.trunksUp === 2);
  await trunkline.close();
  await io.close();
});

test("the stream of a balanced address is continued at the node's own address", async (t) => {
  const nodes = await startNodes(t, ["a", "b"], { resumes: 60_000 });
  const balancer = await startBalancer(t, nodes);
  const { trunkline, disconnects } = startApp(t, balancer.endpoint);
  await until(() => trunkline.stats.trunksUp === 2);
  // The balancer would lead to the other node only.
  balancer.to = [nodes[1]];
  for (const stream of balancer.streams) stream.destroy();
  await until(() => trunkline.stats.resumed === 1);
  assert.deepEqual([trunkline.stats.trunksUp, disconnects], [2, []]);
});

test("nodes are told how many sessions there are over all of them, when that has changed", async (t) => {
  const nodes = await startNodes(t, ["a", "b"]);
  const { io, trunkline } = startApp(t, nodes[0].endpoint);
  await until(() => trunkline.stats.trunksUp === 2);
  const [a, b] = await Promise.all(nodes.map((node) => node.trunk()));
  await a.connect(1);
  await b.connect(1);
  assert.equal(io.engine.clientsCount, 2);
  for (const trunk of [a, b]) while ((await trunk.next("Load")).sessions !== 2);
  a.send({ type: "Close", session: 1, reason: 1, description: "" });
  while ((await b.next("Load")).sessions !== 1);
});

test("app servers count one another over all nodes, and each message goes over one of them", async (t) => {
  const nodes = await startNodes(t, ["a", "b"], { relays: true });
  const apps = [startApp(t, nodes[0].endpoint), startApp(t, nodes[1].endpoint)];
  for (const { io } of apps) await haveServers(io, 2);
  await until(() => apps.every(({ trunkline }) => trunkline.stats.trunksUp === 2));
  const heard = [];
  apps[1].io.on("hello", (value) => heard.push(value));
  for (let value = 0; value < 10; value++) apps[0].io.serverSideEmit("hello", value);
  await until(() => heard.length === 10);
  assert.deepEqual(heard, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test("broadcasts have numbers without connection state recovery, too, for sessions that go to another node", async (t) => {
  const [node] = await startNodes(t, ["a"]);
  const { io } = startApp(t, node.endpoint);
  const trunk = await node.trunk();
  io.emit("x");
  await trunk.settle();
  assert.deepEqual(trunk.numbers, [{ type: "Number", high: 0, low: 1 }]);
  const { numbers, moves } = JSON.parse(trunk.hello.settings);
  assert.deepEqual([numbers, moves], [true, true]);
});
