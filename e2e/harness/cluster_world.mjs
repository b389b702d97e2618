// A complete cluster: nodes behind a balancer, app servers, clients.
import { Cluster } from "./cluster.mjs";
import { World } from "./world.mjs";

export class ClusterWorld extends World {
  /** `balanced`: the app servers know only the balancer, and find the nodes through it. */
  static async start({ nodes = 3, servers = ["amber", "cobalt"], options, trunkline = {}, balanced = false } = {}) {
    const world = new this();
    try {
      world.cluster = await Cluster.start({ nodes });
      world.nodes = world.cluster.nodes;
      const endpoint = balanced ? { endpoint: world.cluster.url } : {};
      for (const name of servers) await world.startApp({ name, options, trunkline: { ...endpoint, ...trunkline } });
      await world.cluster.trunks(servers.length);
      return world;
    } catch (error) {
      await world.stop();
      throw error;
    }
  }

  /** The balancer's address. */
  get url() {
    return this.cluster.url;
  }

  async stop() {
    this.closeClients();
    await Promise.all(this.apps.map((app) => app.stop()));
    await this.cluster?.stop();
  }
}
