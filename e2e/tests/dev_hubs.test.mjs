// In development a hub is created when a holder of the key asks for it: an app server of either SDK, or a REST call.
import assert from "node:assert/strict";
import { next } from "../../testing/wait.mjs";
import { AzureWorld, KEY, WebPubSubServiceClient, connectionString } from "../harness/azure.mjs";
import { startApp } from "../harness/app.mjs";
import { PLAIN, connected } from "../harness/world.mjs";
import { test } from "node:test";

const pathOf = (hub) => `/clients/socketio/hubs/${hub}`;
const WEBSOCKET = { transports: ["websocket"] };
const REST = { allowInsecureConnection: true };

if (!PLAIN) {
  test("hubs that nobody configured: app servers of both SDKs, clients and calls meet in each, and not in another", async () => {
    const world = await AzureWorld.start({ servers: [] });
    try {
      await world.startApp({ name: "ours", trunkline: { hub: "suite-1" } });
      const azure = await startApp({
        app: "../azure/apps/chat",
        name: "azure",
        trunkline: { connectionString: connectionString(world.node), hub: "suite-2" },
      });
      world.apps.push(azure);
      const clients = {};
      for (const hub of ["suite-1", "suite-2"]) {
        clients[hub] = await world.client("/", { path: pathOf(hub), ...WEBSOCKET });
      }
      await world.apps[0].noted("connection", ({ id }) => id === clients["suite-1"].id);
      await azure.noted("connection", ({ id }) => id === clients["suite-2"].id);
      // A call to a hub that an app server created, with the name in other letter case.
      const heard = next(clients["suite-2"], "news");
      clients["suite-1"].on("news", () => assert.fail("that was for another hub"));
      const rest = new WebPubSubServiceClient(connectionString(world.node), "Suite-2", REST);
      await rest.sendToAll('42["news","a"]', { contentType: "text/plain" });
      assert.deepEqual(await heard, ["a"]);
      // And a call to a new hub, which has no clients.
      const third = new WebPubSubServiceClient(connectionString(world.node), "suite-3", REST);
      assert.equal(await third.connectionExists("nobody"), false);
      const status = await world.node.status();
      assert.deepEqual(status.hubs.map(({ name }) => name).sort(), ["default", "suite-1", "suite-2"]);
    } finally {
      await world.stop();
    }
  });

  test("what makes no hub: a client, a wrong key, a name that is none, one more than there may be", async () => {
    const world = await AzureWorld.start({ servers: [] });
    try {
      const client = world.open("/", { path: pathOf("typo"), ...WEBSOCKET });
      await next(client, "connect_error");
      const call = (hub, key = KEY) =>
        new WebPubSubServiceClient(
          `Endpoint=${world.node.url};AccessKey=${key};Version=1.0;`,
          hub,
          REST,
        ).removeUserFromAllGroups("x");
      const refused = (hub, statusCode, key) =>
        assert.rejects(call(hub, key), (error) => error.statusCode === statusCode);
      await refused("another", 401, "another-key-that-is-long-enough-to-be-one");
      await refused("2fast", 404);
      assert.deepEqual(
        (await world.node.status()).hubs.map(({ name }) => name),
        ["default"],
      );
      for (let made = 0; made < 64; made += 1) await call(`hub-${made}`);
      await refused("one-more", 404);
      await call("hub-63"); // existing hubs stay
      const late = world.open("/", { path: pathOf("hub-7"), ...WEBSOCKET });
      await next(late, "connect_error");
      await world.startApp({ name: "late", trunkline: { hub: "hub-7" } });
      await connected(world.open("/", { path: pathOf("hub-7"), ...WEBSOCKET }));
    } finally {
      await world.stop();
    }
  });
}
