// A world with Microsoft's own unmodified SDK on the app's side.
import { createRequire } from "node:module";
import { after, afterEach, before, describe, test } from "node:test";
import { DEVELOPMENT_KEY, epochSeconds, signToken } from "../../testing/token.mjs";
import { startApp } from "./app.mjs";
import { startNode } from "./node.mjs";
import { World } from "./world.mjs";

export const KEY = DEVELOPMENT_KEY;
export const HUB = "default";
export const HUB_PATH = `/clients/socketio/hubs/${HUB}`;

const require = createRequire(new URL("../azure/package.json", import.meta.url));
export const { WebPubSubServiceClient, AzureKeyCredential } = require("@azure/web-pubsub");

export const connectionString = (node) => `Endpoint=${node.url};AccessKey=${KEY};Version=1.0;`;

export class AzureWorld extends World {
  static async start({ servers = ["amber"], app = "chat", options, args, threads } = {}) {
    const world = new AzureWorld();
    try {
      world.nodes.push(await startNode({ args, threads }));
      for (const name of servers) await world.startAzureApp({ name, app, options });
      return world;
    } catch (error) {
      await world.stop();
      throw error;
    }
  }

  async startAzureApp({ name, app = "chat", options, node = this.node, hub = HUB }) {
    const trunkline = { connectionString: connectionString(node), hub };
    const started = await startApp({ app: `../azure/apps/${app}`, name, options, trunkline });
    this.apps.push(started);
    return started;
  }

  /** Opens a client as Microsoft's documentation shows: with another address and path. */
  open(path = "/", options = {}, url = this.url) {
    return super.open(path, { path: HUB_PATH, ...options }, url);
  }

  /** The client for the REST API. */
  rest(key = KEY) {
    return new WebPubSubServiceClient(`Endpoint=${this.node.url};AccessKey=${key};Version=1.0;`, HUB, {
      allowInsecureConnection: true,
    });
  }
}

/** Tests that share one installation; each gets a world without clients. */
export function inAzureWorld(what, settings, define) {
  describe(what, () => {
    let world;
    before(async () => {
      world = await AzureWorld.start(settings);
    });
    afterEach(() => world.closeClients());
    after(() => world?.stop());
    define((name, check) => test(name, () => explained(world, check)));
  });
}

/** A test with an installation of its own. */
export function withAzureWorld(name, settings, check) {
  test(name, async () => {
    const world = await AzureWorld.start(settings);
    try {
      await explained(world, check);
    } finally {
      await world.stop();
    }
  });
}

async function explained(world, check) {
  try {
    await check(world);
  } catch (error) {
    error.stack += `\n--- what the processes said ---\n${world.logs.split("\n").slice(-60).join("\n")}\n---`;
    throw error;
  }
}

/** A token with any claims, valid or not. */
export function sign(claims, options) {
  const now = epochSeconds();
  return signToken({ iat: now, exp: now + 3600, ...claims }, options);
}
