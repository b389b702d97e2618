// Clients that begin with polling and change to a WebSocket, behind plain round robin: the session moves to the node
// where the WebSocket was opened, and nothing is lost or doubled.
import assert from "node:assert/strict";
import test, { after, before, describe } from "node:test";
import { until } from "../../testing/wait.mjs";
import { ClusterWorld } from "../harness/cluster_world.mjs";
import { connected, PLAIN } from "../harness/world.mjs";

const SERVERS = ["amber", "cobalt", "violet"];
const CLIENTS = 30;

const unlessPlain = PLAIN ? describe.skip : describe;

/** Begins to broadcast, and goes on until it is stopped. */
const begin = ({ io, server }) => {
  globalThis.said = 0;
  globalThis.saying = setInterval(() => {
    globalThis.said += 1;
    io.emit("all", server, globalThis.said);
  }, 30);
};
/** Stops; returns the last number. */
const stop = () => {
  clearInterval(globalThis.saying);
  return globalThis.said;
};

class UpgradesWorld extends ClusterWorld {
  moves(outcome) {
    return this.cluster.sum("trunkline_moves_total", `"${outcome}"`);
  }

  /** A client that notes what it hears, and says something all the time. */
  async talker() {
    const client = this.open("/", { transports: ["polling", "websocket"] });
    Object.assign(client, { heard: {}, ends: [], echoed: 0 });
    client.on("all", (server, number) => {
      client.heard[server] ??= [];
      client.heard[server].push(number);
    });
    client.on("disconnect", (reason) => client.ends.push(reason));
    await connected(client);
    const talk = async () => {
      for (let number = 0; client.connected && !client.quiet; number += 1) {
        assert.equal(await client.timeout(10_000).emitWithAck("echo", number), number);
        client.echoed = number;
      }
    };
    client.talked = talk();
    return client;
  }
}

const name = (client) => client.io.engine.transport.name;

for (const [what, options] of [
  ["without recovery", {}],
  ["with recovery", { connectionStateRecovery: {} }],
]) {
  unlessPlain(`three nodes, three app servers, ${what}`, () => {
    let world;
    before(async () => {
      world = await UpgradesWorld.start({ servers: SERVERS, options });
    });
    after(() => world?.stop());

    test("every client upgrades, wherever its requests go, under broadcasts of all app servers", async () => {
      await Promise.all(world.apps.map((app) => app.run(begin)));
      const clients = await Promise.all(Array.from({ length: CLIENTS }, () => world.talker()));
      await until("all upgrades", () => clients.every((client) => name(client) === "websocket"));
      const before = clients.map((client) => client.echoed);
      await until("a word after the upgrade", () => clients.every((client, at) => client.echoed > before[at] + 2));
      const last = Object.fromEntries(
        await Promise.all(world.apps.map(async (app) => [app.name, await app.run(stop)])),
      );
      await until("the last broadcasts", () =>
        clients.every((client) => SERVERS.every((server) => client.heard[server]?.at(-1) === last[server])),
      );
      for (const client of clients) {
        client.quiet = true;
        await client.talked;
        assert.deepEqual(client.ends, []);
        for (const server of SERVERS) {
          const [first] = client.heard[server];
          const all = Array.from({ length: last[server] - first + 1 }, (_, at) => first + at);
          assert.deepEqual(client.heard[server], all, `of ${server}, each once and in order`);
        }
      }
      const [moved, failed] = [await world.moves("moved"), await world.moves("failed")];
      const upgraded = await world.cluster.sum("trunkline_edge_upgrades_total", '"done"');
      assert.deepEqual([upgraded, failed], [CLIENTS, 0]);
      assert.ok(moved > 0, "round robin brings most to another node");
    });
  });
}
