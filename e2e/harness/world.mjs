// A complete installation: nodes, app servers, clients; started together and stopped together.
import { io as connect } from "socket.io-client";
import { until, within } from "../../testing/wait.mjs";
import { startApp } from "./app.mjs";
import { startNode } from "./node.mjs";

/**
 * Runs without Trunkline: one app server, with clients connected directly. Shows that a test expects what Socket.IO
 * does.
 */
export const PLAIN = process.env.E2E_PLAIN === "1";

export const TRANSPORTS = {
  polling: { transports: ["polling"] },
  websocket: { transports: ["websocket"] },
  upgrade: { transports: ["polling", "websocket"] },
};

export class World {
  nodes = [];
  apps = [];
  clients = [];

  /** `servers`: names of the app servers, each with a trunk to every node. */
  static async start({ nodes = 1, servers = ["amber"], threads, app, options, args } = {}) {
    const world = new World();
    try {
      for (let number = 0; number < nodes && !PLAIN; number += 1) {
        world.nodes.push(await startNode({ threads, args }));
      }
      for (const name of PLAIN ? servers.slice(0, 1) : servers) await world.startApp({ name, app, options });
      return world;
    } catch (error) {
      await world.stop();
      throw error;
    }
  }

  async startApp({ trunkline = {}, ...rest }) {
    const endpoint = this.nodes.map((node) => node.url);
    const app = await startApp({ ...rest, trunkline: PLAIN ? undefined : { endpoint, ...trunkline } });
    this.apps.push(app);
    return app;
  }

  get node() {
    return this.nodes[0];
  }
  /** Where clients connect. */
  get url() {
    return PLAIN ? this.apps[0].url : this.node.url;
  }
  app(name) {
    return this.apps.findLast((app) => app.name === name);
  }

  /** A real client; `path` is a namespace. Does not wait for the connection. */
  open(path = "/", options = {}, url = this.url) {
    const client = connect(url + path, { reconnection: false, forceNew: true, ...options });
    this.clients.push(client);
    return client;
  }

  /** A real client, connected, and upgraded if it can upgrade. */
  async client(path, options = {}, url) {
    const client = this.open(path, options, url);
    await connected(client);
    const { transports } = options;
    if (transports?.[0] === "polling" && transports.includes("websocket")) {
      await until("the upgrade", () => client.io.engine.transport.name === "websocket");
    }
    return client;
  }

  /** One connected client for every app server, by its name; a shared one when there is only one. */
  async clientPerApp(path, options) {
    const clients = {};
    for (let left = 20; left > 0 && Object.keys(clients).length < this.apps.length; left -= 1) {
      const client = await this.client(path, options);
      clients[await client.emitWithAck("server")] ??= client;
    }
    if (Object.keys(clients).length < this.apps.length) throw new Error("an app server was given no client");
    return clients;
  }

  closeClients() {
    for (const client of this.clients.splice(0)) client.disconnect();
  }
  async stop() {
    this.closeClients();
    await Promise.all(this.apps.map((app) => app.stop()));
    await Promise.all(this.nodes.map((node) => node.stop()));
  }
  /** The output of all processes, for a test that failed. */
  get logs() {
    return [...this.nodes, ...this.apps].map(({ log }) => log.text).join("\n");
  }
}

/** Waits until the client is connected; throws an error that says why it cannot connect. */
export async function connected(client) {
  if (client.connected) return;
  const either = new Promise((done, fail) => {
    client.once("connect", done);
    client.once("connect_error", (error) => {
      const more = error.context?.responseText ?? error.description ?? "";
      fail(new Error(`connect_error: ${error.message}: ${more}`));
    });
  });
  await within("the connection", either);
}
