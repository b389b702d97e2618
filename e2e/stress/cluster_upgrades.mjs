// Clients that begin with polling and change to a WebSocket, which arrives at any node: the session moves there, amid
// broadcasts of several app servers and messages of its own.
import { io as connect } from "socket.io-client";
import { startApp } from "../harness/app.mjs";
import { Cluster } from "../harness/cluster.mjs";
import { percentile, progress, round, table } from "./cluster_figures.mjs";

const BROADCASTS_PER_S = 100;
const SAY_EVERY_MS = 50;
/** How long a client stays after its upgrade, and how long it waits for one. */
const STAY_MS = 500;
const GIVE_UP_MS = 20_000;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export async function run(setting) {
  const rows = [];
  let good = true;
  const faults = [];
  // One node first: the time that an upgrade takes anyway.
  for (const nodes of [1, setting.nodes]) {
    const one = await measured({ ...setting, nodes });
    rows.push(one.row);
    good &&= one.faults.length === 0;
    faults.push(...one.faults.map((fault) => `${nodes} nodes: ${fault}`));
  }
  const heads = [
    "",
    "clients",
    "upgraded",
    "moved",
    "lost",
    "doubled",
    "upgrade ms p50",
    "p99",
    "gap ms p50",
    "p99",
    "wait ms p99",
  ];
  const title = `${setting.clients} clients, ${setting.rate} a second, ${BROADCASTS_PER_S} broadcasts/s of ${setting.apps} app servers`;
  table(title, heads, rows);
  console.log(
    "  gap: the longest time without a broadcast around the upgrade; wait: the longest for an answer, by client",
  );
  for (const fault of faults.slice(0, 20)) console.log(`  ${fault}`);
  return good;
}

async function measured({ clients: count, rate, nodes, apps: servers, threads }) {
  const cluster = await Cluster.start({ nodes, threads, alone: nodes === 1 });
  const apps = [];
  const clients = [];
  const told = progress();
  try {
    for (let number = 0; number < servers; number += 1) {
      const trunkline = { endpoint: cluster.endpoint };
      apps.push(await startApp({ app: "../stress/cluster_app", name: `app${number}`, trunkline }));
    }
    await cluster.trunks(servers);
    const everyMs = (1_000 * servers) / BROADCASTS_PER_S;
    for (const app of apps) await app.run((context, every) => context.begin(every), everyMs);
    const lives = [];
    const startedAt = performance.now();
    for (let number = 0; number < count; number += 1) {
      const dueAt = startedAt + (number * 1_000) / rate;
      if (dueAt > performance.now()) await pause(dueAt - performance.now());
      const client = new Newcomer(cluster.url);
      clients.push(client);
      lives.push(client.live());
      told(`${nodes} node${nodes > 1 ? "s" : ""}: ${number + 1} of ${count} clients`);
    }
    await Promise.all(lives);
    const moved = await cluster.sum("trunkline_moves_total", 'outcome="moved"');
    const answers = await Promise.all(apps.map((app) => app.run((context) => context.end())));
    return judged(nodes, clients, answers, moved);
  } finally {
    for (const client of clients) client.socket.disconnect();
    await Promise.all(apps.map((app) => app.stop()));
    await cluster.stop();
  }
}

function judged(nodes, clients, answers, moved) {
  const faults = clients.flatMap(({ faults: own }) => own);
  for (const { wrong } of answers) faults.push(...wrong);
  const came = answers.reduce((sum, answer) => sum + answer.came, 0);
  if (came !== clients.length) faults.push(`${clients.length} clients, and ${came} times "connection" in the apps`);
  const ends = answers.flatMap((answer) => Object.keys(answer.ends));
  for (const reason of new Set(ends)) if (reason !== "client namespace disconnect") faults.push(`ended: ${reason}`);
  const sum = (what) => clients.reduce((all, client) => all + client[what], 0);
  const upgraded = clients.filter(({ upgradeMs }) => upgradeMs !== undefined);
  const times = upgraded.map(({ upgradeMs }) => upgradeMs);
  const gaps = upgraded.map(({ gapMs }) => gapMs);
  const waits = upgraded.map(({ waitMs }) => waitMs);
  const row = [
    `${nodes} node${nodes > 1 ? "s" : ""}`,
    clients.length,
    `${round((100 * upgraded.length) / clients.length)} %`,
    `${moved} (${round((100 * moved) / clients.length)} %)`,
    sum("lost"),
    sum("doubled"),
    ...[times, gaps].flatMap((list) => [round(percentile(list, 0.5)), round(percentile(list, 0.99))]),
    round(percentile(waits, 0.99)),
  ];
  const refusals = clients
    .filter(({ upgradeMs }) => upgradeMs === undefined)
    .map(({ refused }) => refused ?? "no answer");
  for (const why of new Set(refusals))
    faults.push(`${refusals.filter((one) => one === why).length} clients were not upgraded: ${why}`);
  return { row, faults };
}

/** One client, from its first poll until a moment after its upgrade. */
class Newcomer {
  lost = 0;
  doubled = 0;
  faults = [];
  gapMs = 0;
  waitMs = 0;
  #heard = new Map();
  #heardAt;
  #said = 0;

  constructor(url) {
    this.socket = connect(url, {
      transports: ["polling", "websocket"],
      forceNew: true,
      reconnection: false,
    });
    const { engine } = this.socket.io;
    engine.on("upgrading", () => (this.upgradingAt = performance.now()));
    engine.on("upgrade", () => (this.upgradeMs = performance.now() - this.upgradingAt));
    engine.on("upgradeError", (error) => {
      const { status } = error.description ?? error.context ?? {};
      this.refused = `${error.message}${status === undefined ? "" : `, ${status}`}`;
    });
    this.socket.on("news", (server, number) => this.#hear(server, number));
    this.socket.on("disconnect", (reason) => {
      if (reason !== "io client disconnect") this.faults.push(`disconnected: ${reason}`);
    });
    this.socket.on("connect_error", (error) => this.faults.push(`not connected: ${error.message}`));
  }

  #hear(server, number) {
    const last = this.#heard.get(server) ?? number - 1;
    if (number > last + 1) {
      this.lost += number - last - 1;
      this.faults.push(`of ${server}, ${number} came after ${last}`);
    } else if (number <= last) {
      this.doubled += 1;
      this.faults.push(`of ${server}, ${number} came after ${last}`);
    }
    this.#heard.set(server, Math.max(number, last));
    const at = performance.now();
    if (this.upgradingAt !== undefined && this.#heardAt !== undefined)
      this.gapMs = Math.max(this.gapMs, at - this.#heardAt);
    this.#heardAt = at;
  }

  #say = () => {
    if (!this.socket.connected) return;
    const number = this.#said;
    const at = performance.now();
    this.#said += 1;
    this.pending = (this.pending ?? 0) + 1;
    this.socket.emitWithAck("say", number).then(
      (answer) => {
        this.pending -= 1;
        this.waitMs = Math.max(this.waitMs, performance.now() - at);
        if (answer !== number) this.faults.push(`${number} was answered with ${answer}`);
      },
      () => this.faults.push(`${number} was not answered`),
    );
  };

  async live() {
    const timer = setInterval(this.#say, SAY_EVERY_MS);
    const giveUpAt = performance.now() + GIVE_UP_MS;
    while (this.upgradeMs === undefined && performance.now() < giveUpAt) await pause(20);
    await pause(STAY_MS);
    clearInterval(timer);
    while (this.pending > 0 && performance.now() < giveUpAt) await pause(10);
    if (this.pending > 0) this.faults.push(`${this.pending} messages without an answer`);
    if (this.socket.connected) {
      try {
        const [server, casts] = await new Promise((done, fail) => {
          this.socket.timeout(5_000).emit("casts", (error, ...answer) => (error ? fail(error) : done(answer)));
        });
        const heard = this.#heard.get(server) ?? 0;
        if (heard < casts) {
          this.lost += casts - heard;
          this.faults.push(`${server} had sent ${casts}, and ${heard} was the last that came`);
        }
      } catch (error) {
        this.faults.push(`the last answer: ${error.message}`);
      }
    }
    this.socket.disconnect();
  }
}
