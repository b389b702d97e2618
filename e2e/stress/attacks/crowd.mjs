// Thousands of well-behaved clients in one process: each echoes at its own pace, and notes how long it took.
import { EngineSocket, socketUrl } from "../../../testing/engine.mjs";
import { until } from "../../../testing/wait.mjs";

const [port, path, count, rate] = [
  Number(process.argv[2]),
  process.argv[3],
  Number(process.argv[4]),
  Number(process.argv[5]),
];
const LOST_AFTER_MS = 20_000;
const latencies = { before: [], during: [], after: [] };
let phase;
let lost = 0;

class Client {
  #sent = new Map();
  #next = 0;

  constructor() {
    this.ws = new EngineSocket(port, socketUrl({}, path));
  }
  async open() {
    await this.ws.opened();
    this.ws.text("40");
    await until("the socket", () => this.ws.texts.some((text) => text.startsWith("40{")));
    // From here on each message is processed when it arrives.
    this.ws.onText = (text) => this.#hear(text);
  }
  echo() {
    if (this.ws.ended) return;
    const id = this.#next;
    this.#next += 1;
    this.#sent.set(id, { at: performance.now(), phase });
    this.ws.text(`42${id}["echo",1]`);
  }
  #hear(text) {
    if (!text.startsWith("43")) return;
    const id = Number.parseInt(text.slice(2), 10);
    const sent = this.#sent.get(id);
    if (!sent) return;
    this.#sent.delete(id);
    latencies[sent.phase]?.push(performance.now() - sent.at);
  }
  get missing() {
    return this.#sent.size;
  }
}

const clients = [];
while (clients.length < count) {
  const wave = Array.from({ length: Math.min(100, count - clients.length) }, () => new Client());
  await Promise.all(wave.map((client) => client.open()));
  clients.push(...wave);
}

let turn = 0;
const perTick = (count * rate) / 100;
let owed = 0;
const ticking = setInterval(() => {
  if (!phase) return;
  for (owed += perTick; owed >= 1; owed -= 1) {
    clients[turn].echo();
    turn = (turn + 1) % clients.length;
  }
}, 10);

const percentile = (sorted, share) =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;

async function report() {
  clearInterval(ticking);
  const giveUpAt = Date.now() + LOST_AFTER_MS;
  while (Date.now() < giveUpAt && clients.some(({ missing, ws }) => missing > 0 && !ws.ended))
    await new Promise((done) => setTimeout(done, 50));
  for (const { missing, ws } of clients) lost += missing + (ws.ended ? 1 : 0);
  const p50 = {};
  const p99 = {};
  const max = {};
  for (const [name, list] of Object.entries(latencies)) {
    list.sort((a, b) => a - b);
    p50[name] = percentile(list, 0.5);
    p99[name] = percentile(list, 0.99);
    max[name] = list.at(-1) ?? Number.NaN;
  }
  process.send({ kind: "report", lost, p50, p99, max });
}

process.on("message", (message) => {
  if (message.kind === "phase") phase = message.phase;
  if (message.kind === "report") void report();
});
process.on("disconnect", () => process.exit());
process.send({ kind: "ready" });
