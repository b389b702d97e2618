// Clients that are all cut off during broadcasts, are away while more are sent, and return while the last ones are
// sent.
import { until } from "../../testing/wait.mjs";
import { PLAIN, World } from "../harness/world.mjs";
import { Random } from "./random.mjs";
import { RecoveryClient } from "./recovery_client.mjs";

const PATIENCE = { withinMs: 60_000, everyMs: 25 };
const SERVER_OPTIONS = { connectionStateRecovery: { maxDisconnectionDuration: 120_000, skipMiddlewares: true } };
/** The number of broadcasts while the streams are being cut, and again while the clients return. */
const AROUND = 20;

/**
 * Returns the input for `judge`, and durations. `awayMs`: the least time away; it also lasts until the app servers have
 * noticed all ends.
 */
export async function run({ clients: count, broadcasts, awayMs = 0, nodes = 1, threads, seed = 1 }) {
  const world = await World.start({
    nodes,
    servers: ["amber", "cobalt"],
    threads,
    app: "../stress/recovery_app",
    options: SERVER_OPTIONS,
  });
  const clients = [];
  try {
    const drama = new Drama(world, clients, new Random(seed));
    await drama.begin(count);
    await Promise.all([drama.cast(AROUND, 100), drama.cutAll()]);
    const leftAt = performance.now();
    await Promise.all([drama.cast(broadcasts, awayMs * 0.8), new Promise((done) => setTimeout(done, awayMs))]);
    await drama.missed();
    const returning = performance.now();
    await Promise.all([drama.comeBack(), drama.cast(AROUND, 300)]);
    const back = performance.now();
    await drama.finish();
    const refusals = clients.reduce((sum, client) => sum + client.refusals, 0);
    return { ...(await drama.record()), awayMs: returning - leftAt, backMs: back - returning, refusals };
  } finally {
    for (const { socket } of clients) socket.disconnect();
    await world.stop();
  }
}

class Drama {
  /** Every broadcast, by app server, in its order. */
  #sent = new Map();

  constructor(world, clients, random) {
    Object.assign(this, { world, clients, random });
    for (const { name } of world.apps) this.#sent.set(name, []);
  }

  async begin(count) {
    for (let number = 0; number < count; number += 1) {
      this.clients.push(new RecoveryClient(this.#urlOf(number), number));
      if (number % 50 === 49) await until("fifty more", () => this.clients.every(({ server }) => server), PATIENCE);
    }
    await until("all clients", () => this.clients.every(({ server }) => server), PATIENCE);
    // Without an offset no recovery is possible.
    await this.#mark();
    const reports = await this.#reports();
    const arrivals = reports.flatMap((report) => report.arrivals);
    for (const { number, first } of this.clients)
      Object.assign(
        first,
        arrivals.find(({ client }) => client === number),
      );
  }

  /** The address where this client first connects; it returns to the next one. */
  #urlOf(number) {
    return PLAIN ? this.world.url : this.world.nodes[number % this.world.nodes.length].url;
  }

  /** Broadcasts to all, to rooms, and to all except a room, from both app servers at once. */
  async cast(count, withinMs) {
    const lists = new Map(this.world.apps.map(({ name }) => [name, []]));
    for (let number = 0; number < count; number += 1) {
      const { name } = this.world.apps[number % this.world.apps.length];
      const sent = this.#sent.get(name);
      const broadcast = { id: `${name}:${sent.length}`, ...this.#target() };
      sent.push(broadcast);
      lists.get(name).push(broadcast);
    }
    await Promise.all(
      this.world.apps.map((app) => app.run(({ cast }, list) => cast(list), { list: lists.get(app.name), withinMs })),
    );
  }

  #target() {
    const room = () => `tens${this.random.below(10)}`;
    return this.random.weighted([
      [4, () => ({ rooms: [], except: [] })],
      [3, () => ({ rooms: [room(), room()], except: [] })],
      [2, () => ({ rooms: [`odd${this.random.below(2)}`], except: [room()] })],
      [1, () => ({ rooms: [], except: [room()] })],
    ])();
  }

  /** Broadcasts to all from each app server, and waits until all have received it. */
  async #mark() {
    const marks = [];
    for (const app of this.world.apps) {
      const sent = this.#sent.get(app.name);
      marks.push(`${app.name}:${sent.length}`);
      sent.push({ id: marks.at(-1), rooms: [], except: [] });
      await app.run(({ cast }, list) => cast(list), { list: [sent.at(-1)], withinMs: 0 });
    }
    await until(
      "the last broadcasts",
      () => this.clients.every(({ heard }) => marks.every((mark) => heard.includes(mark))),
      PATIENCE,
    );
  }

  async cutAll() {
    for (const client of this.clients) {
      client.cut();
      if (this.random.chance(0.05)) await new Promise((done) => setImmediate(done));
    }
    // Between two polls there was no stream to cut.
    await until(
      "the ends",
      () => {
        for (const client of this.clients) if (client.socket.connected) client.cut();
        return this.clients.every(({ socket }) => !socket.connected);
      },
      PATIENCE,
    );
  }

  /** Waits until the app servers have seen the ends. */
  missed() {
    return until(
      "the ends on the app servers",
      async () => (await this.#reports()).every(({ sockets }) => sockets === 0),
      PATIENCE,
    );
  }

  /** Every second client of each app server insists on the other app server. */
  async comeBack() {
    const names = this.world.apps.map(({ name }) => name);
    const turns = new Map();
    for (const client of this.clients) {
      const turn = turns.get(client.home) ?? 0;
      turns.set(client.home, turn + 1);
      const wanted = turn % 2 === 0 ? client.home : names.find((name) => name !== client.home);
      // Each node gives a new client to the app server with the fewest sessions on that node: with several nodes a
      // client cannot insist on one.
      client.comeBack(PLAIN || this.world.nodes.length > 1 ? null : wanted, this.#urlOf(client.number + 1));
      if (this.random.chance(0.2)) await new Promise((done) => setTimeout(done, 1));
    }
    await until("all clients back", () => this.clients.every(({ server }) => server), PATIENCE);
  }

  /** Waits for the last clients; the figures show those that did not return. */
  finish() {
    return this.#mark().catch(() => {});
  }

  #reports() {
    return Promise.all(this.world.apps.map((app) => app.run(({ report }) => report())));
  }

  /** The input for `judge`. */
  async record() {
    const clients = this.clients.map(({ number, mode, rooms, first, returns, heard, home, server }) => {
      return structuredClone({ number, mode, rooms, first, returns, heard, home, server });
    });
    return { clients, sent: [...this.#sent], reports: await this.#reports() };
  }
}
