// Azure's door over several nodes: Microsoft's SDK with its tunnel at one node, clients and callers at all.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import test, { after, afterEach, before, describe } from "node:test";
import { next, until } from "../../testing/wait.mjs";
import { AzureKeyCredential, AzureWorld, HUB, HUB_PATH, KEY, sign, WebPubSubServiceClient } from "../harness/azure.mjs";
import { Cluster, figure } from "../harness/cluster.mjs";
import { connected, PLAIN } from "../harness/world.mjs";

const TEXT = { contentType: "text/plain" };
const packet = (...data) => `42${JSON.stringify(data)}`;
const group = (room) => `0~${Buffer.from("/").toString("base64url")}~${Buffer.from(room).toString("base64url")}`;

class AzureCluster extends AzureWorld {
  static async start(settings = {}) {
    const world = new AzureCluster();
    try {
      world.cluster = await Cluster.start({ nodes: 2, balanced: false, ...settings });
      world.nodes = world.cluster.nodes;
      await world.startAzureApp({ name: "amber" });
      await world.trunks(1);
      return world;
    } catch (error) {
      await world.stop();
      throw error;
    }
  }

  /** Waits until the door of every node can serve clients. */
  async trunks(count) {
    for (const node of this.cluster.running) {
      await until(`${count} trunks`, async () => (await figure(node, "trunkline_trunks")) === count);
    }
  }

  /** A client of this user at a node. */
  async at(node, user, options = { transports: ["websocket"] }) {
    const { url } = this.nodes[node];
    const query = { access_token: sign({ aud: `${url}${HUB_PATH}`, sub: user }) };
    const client = this.open("/", { ...options, query }, url);
    await connected(client);
    return client;
  }

  restAt(node) {
    const { url } = this.nodes[node];
    // Microsoft's client repeats what got a 503, three times.
    const options = { allowInsecureConnection: true, retryOptions: { maxRetries: 0 } };
    return new WebPubSubServiceClient(url, new AzureKeyCredential(KEY), HUB, options);
  }

  async stop() {
    this.closeClients();
    await Promise.all(this.apps.map((app) => app.stop()));
    await this.cluster?.stop();
  }

  get logs() {
    return `${this.cluster.logs}\n${super.logs}`;
  }
}

/** What clients have heard, by name, until all have heard the end. */
function ears(clients) {
  const heard = [];
  for (const [name, client] of Object.entries(clients)) client.on("news", (what) => heard.push(`${name}:${what}`));
  const count = Object.keys(clients).length;
  return async (end) => {
    await end();
    await until("the end", () => heard.filter((line) => line.endsWith(":end")).length === count);
    return heard
      .splice(0)
      .filter((line) => !line.endsWith(":end"))
      .sort();
  };
}

(PLAIN ? describe.skip : describe)("an app server with Microsoft's SDK at one of two nodes", () => {
  let world;
  before(async () => {
    world = await AzureCluster.start();
  });
  afterEach(() => world.closeClients());
  after(() => world?.stop());

  test("clients of both nodes talk to it and to one another", async () => {
    const [ann, bob] = [await world.at(0, "ann"), await world.at(1, "bob")];
    const poller = await world.at(1, "eve", { transports: ["polling"] });
    const heard = [];
    for (const [name, client] of Object.entries({ ann, bob, eve: poller }))
      client.on("said", ({ text }) => heard.push(`${name}:${text}`));
    assert.deepEqual(await bob.emitWithAck("echo", { a: 1 }), { a: 1 });
    assert.deepEqual(await poller.emitWithAck("echo", 2), 2);
    const bytes = Buffer.from([0, 30, 255]);
    assert.deepEqual(Buffer.from(await bob.emitWithAck("echo", bytes)), bytes);
    bob.emit("say", "from bob");
    await until("all hear it", () => heard.length === 3);
    await ann.emitWithAck("join", "r");
    await bob.emitWithAck("join", "r");
    heard.length = 0;
    ann.emit("say to", { rooms: "r", text: "to the room" });
    ann.emit("say", "end");
    await until("the end", () => heard.filter((line) => line.endsWith("end")).length === 3);
    assert.deepEqual(
      heard.filter((line) => !line.endsWith("end")),
      ["bob:to the room"],
    );
    await bob.emitWithAck("leave", "r");
    heard.length = 0;
    ann.emit("say to", { rooms: "r", text: "to nobody" });
    ann.emit("say", "end");
    await until("the end", () => heard.filter((line) => line.endsWith("end")).length === 3);
    assert.equal(heard.length, 3);
  });

  test("many messages, both ways, each once and in order", async () => {
    const bob = await world.at(1, "bob");
    const heard = [];
    bob.on("repeat", (number) => heard.push(number));
    const all = Array.from({ length: 500 }, (_, number) => number);
    for (const number of all) bob.emit("repeat", number);
    await until("the last", () => heard.length >= all.length);
    assert.deepEqual(heard, all);
  });

  test("acknowledgements of all, of clients at both nodes", async () => {
    const clients = [await world.at(0, "ann"), await world.at(1, "bob")];
    clients.forEach((client, at) => client.on("question", (asked, answer) => answer(asked + at)));
    const answers = await world.apps[0].run(({ io }) => io.timeout(5000).emitWithAck("question", 20));
    assert.deepEqual(answers.sort(), [20, 21]);
  });

  test("the app disconnects a client of another node, and learns that one has left", async () => {
    const [bob, eve] = [await world.at(1, "bob"), await world.at(1, "eve")];
    const gone = next(bob, "disconnect");
    await world.apps[0].run(({ io }, id) => void io.in(id).disconnectSockets(true), bob.id);
    assert.equal((await gone)[0], "io server disconnect");
    const { id } = eve;
    eve.disconnect();
    await world.apps[0].noted("disconnect", (ended) => ended.id === id);
  });

  test("a REST call at either node reaches users, groups and connections of both", async () => {
    const clients = { ann: await world.at(0, "ann"), bob: await world.at(1, "bob") };
    const bobId = clients.bob.io.engine.id;
    const heardBefore = ears(clients);
    for (const node of [0, 1]) {
      const rest = world.restAt(node);
      const room = rest.group(group("r"));
      const cases = [
        [() => rest.sendToAll(packet("news", "all"), TEXT), ["ann:all", "bob:all"]],
        [() => rest.sendToUser("bob", packet("news", "user"), TEXT), ["bob:user"]],
        [() => rest.sendToUser("ann", packet("news", "user"), TEXT), ["ann:user"]],
        [() => rest.sendToConnection(bobId, packet("news", "one"), TEXT), ["bob:one"]],
        [
          async () => {
            await room.addUser("bob");
            await room.sendToAll(packet("news", "room"), TEXT);
            await room.removeConnection(bobId);
            await room.sendToAll(packet("news", "nobody"), TEXT);
          },
          ["bob:room"],
        ],
        [() => rest.sendToAll(packet("news", "x"), { ...TEXT, filter: "userId ne 'ann'" }), ["bob:x"]],
      ];
      for (const [act, expected] of cases) {
        const heard = await heardBefore(async () => {
          await act();
          await rest.sendToAll(packet("news", "end"), TEXT);
        });
        assert.deepEqual(heard, expected, `at node ${node}: ${act}`);
      }
      assert.deepEqual(
        [await rest.userExists("ann"), await rest.userExists("bob"), await rest.userExists("nobody")],
        [true, true, false],
      );
      assert.deepEqual([await rest.connectionExists(bobId), await rest.connectionExists("nobody")], [true, false]);
      await rest.group("g").addUser("ann");
      await rest.group("g").addConnection(bobId);
      const members = [];
      const list = await rest.group("g").listConnections({ maxPageSize: 1 });
      for await (const { userId } of list) members.push(userId);
      assert.deepEqual(members.sort(), ["ann", "bob"]);
      assert.equal(await rest.groupExists("g"), true);
      await rest.removeUserFromAllGroups("ann");
      await rest.removeConnectionFromAllGroups(bobId);
      assert.equal(await rest.groupExists("g"), false);
      await rest.grantPermission(bobId, "sendToGroup", { targetName: "g" });
      assert.equal(await world.restAt(1 - node).hasPermission(bobId, "sendToGroup", { targetName: "g" }), true);
      await rest.revokePermission(bobId, "sendToGroup", { targetName: "g" });
    }
    const gone = next(clients.bob, "disconnect");
    await world.restAt(0).closeConnection(bobId);
    await gone;
  });

  test("many long calls at once are performed one after the other, and end nobody", async () => {
    const [ann, bob] = [await world.at(0, "ann"), await world.at(1, "bob")];
    const ends = [];
    for (const client of [ann, bob]) client.on("disconnect", (why) => ends.push(why));
    const text = packet("news", "x".repeat(1_000_000));
    const rest = world.restAt(0);
    const calls = Array.from({ length: 40 }, () => rest.sendToUser("nobody", text, TEXT));
    const failed = (await Promise.allSettled(calls)).filter(({ status }) => status === "rejected");
    assert.deepEqual(
      failed.map(({ reason }) => reason.message),
      [],
    );
    assert.deepEqual(await bob.emitWithAck("echo", 1), 1);
    assert.deepEqual(ends, []);
  });

  test("a second app server, at the other node: both serve clients of both", async () => {
    await world.startAzureApp({ name: "cobalt", node: world.nodes[1] });
    const servers = new Set();
    await until("both are used at both nodes", async () => {
      for (const node of [0, 1]) {
        const client = await world.at(node, "x");
        servers.add(`${node} ${await client.emitWithAck("server")}`);
      }
      return servers.size === 4;
    });
    const clients = { ann: await world.at(0, "ann"), bob: await world.at(1, "bob") };
    const heard = [];
    for (const [name, client] of Object.entries(clients)) client.on("news", (what) => heard.push(`${name}:${what}`));
    for (const app of world.apps) await app.run(({ io, server }) => void io.emit("news", server));
    await until("both heard both", () => heard.length >= 4);
    assert.deepEqual(heard.sort(), ["ann:amber", "ann:cobalt", "bob:amber", "bob:cobalt"]);
    await world.apps.pop().stop();
  });
});

// Each has a cluster of its own, and waits most of the time.
(PLAIN ? describe.skip : describe)("without the other node", { concurrency: true }, () => {
  test("a node that hangs, and one that is dead: calls name it, and the others go on", async () => {
    const world = await AzureCluster.start();
    try {
      const [ann, bob] = [await world.at(0, "ann"), await world.at(1, "bob")];
      const { node: name } = await world.nodes[1].status();
      world.nodes[1].child.kill("SIGSTOP");
      const rest = world.restAt(0);
      await assert.rejects(rest.sendToUser("bob", packet("news", 1), TEXT), (error) => {
        assert.equal(error.statusCode, 503);
        assert.ok(error.message.includes(name), error.message);
        return true;
      });
      assert.equal(await rest.userExists("ann"), true, "one yes is enough");
      assert.deepEqual(await ann.emitWithAck("echo", 1), 1, "its own clients are served");
      const gone = next(bob, "disconnect");
      world.nodes[1].child.kill("SIGKILL");
      await gone;
      await until("the node is dead", async () => (await figure(world.nodes[0], "trunkline_mesh_peers")) === 0);
      await rest.sendToUser("bob", packet("news", 1), TEXT);
      assert.equal(await rest.userExists("bob"), false);
      assert.deepEqual(await ann.emitWithAck("echo", 2), 2);
    } finally {
      await world.stop();
    }
  });

  test("event handlers in place of app servers: each node calls them for its own clients, and REST reaches all", async () => {
    const events = [];
    const handler = createServer((request, response) => {
      request.resume();
      request.on("end", () => {
        if (request.method === "POST")
          events.push(`${request.headers["ce-eventname"]} ${request.headers["ce-userid"]}`);
        response.writeHead(request.method === "OPTIONS" ? 200 : 204, { "webhook-allowed-origin": "*" }).end();
      });
    });
    handler.listen(0, "127.0.0.1");
    await once(handler, "listening");
    const url = `http://127.0.0.1:${handler.address().port}/{event}`;
    const world = new AzureCluster();
    try {
      world.cluster = await Cluster.start({ nodes: 2, balanced: false, args: ["--event-handler", url] });
      world.nodes = world.cluster.nodes;
      const clients = { ann: await world.at(0, "ann"), bob: await world.at(1, "bob") };
      assert.deepEqual(events.filter((event) => event.startsWith("connect ")).sort(), ["connect ann", "connect bob"]);
      const heardBefore = ears(clients);
      for (const node of [0, 1]) {
        const rest = world.restAt(node);
        const heard = await heardBefore(async () => {
          await rest.sendToUser("ann", packet("news", node), TEXT);
          await rest.group(group("r")).addUser("bob");
          await rest.group(group("r")).sendToAll(packet("news", "room"), TEXT);
          await rest.sendToAll(packet("news", "end"), TEXT);
        });
        assert.deepEqual(heard, [`ann:${node}`, "bob:room"]);
        assert.deepEqual([await rest.userExists("bob"), await rest.userExists("nobody")], [true, false]);
      }
    } finally {
      await world.stop();
      handler.close();
    }
  });

  test("NATS away: the tunnel's node serves its own clients, and calls name the other", async () => {
    const world = await AzureCluster.start();
    try {
      const [ann, bob] = [await world.at(0, "ann"), await world.at(1, "bob")];
      const ends = [];
      bob.on("disconnect", (reason) => ends.push(reason));
      await world.cluster.brokers[0].stop("SIGKILL");
      await until("the loss is known", async () => (await figure(world.nodes[0], "trunkline_mesh_bus_up")) === 0);
      await assert.rejects(world.restAt(0).sendToAll(packet("news", 1), TEXT), { statusCode: 503 });
      assert.deepEqual(await ann.emitWithAck("echo", 1), 1);
      const answer = bob.timeout(20_000).emitWithAck("echo", 2);
      await world.cluster.brokers.again(0);
      assert.deepEqual(await answer, 2, "late, and not lost");
      assert.deepEqual(ends, []);
      await until("calls reach all again", async () => {
        await world.restAt(0).sendToAll(packet("news", 2), TEXT);
        return true;
      });
    } finally {
      await world.stop();
    }
  });
});
