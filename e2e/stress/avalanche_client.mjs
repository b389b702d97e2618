// Clients that are cut all at once and return as socket.io-client does: after a second, give or take a half, and after
// twice as long each time that it fails, up to five seconds.
import { setTimeout as pause } from "node:timers/promises";
import { EngineSocket, socketUrl } from "../../testing/engine.mjs";

const [port, path, count] = [Number(process.argv[2]), process.argv[3], Number(process.argv[4])];
const DELAY_MS = 1_000;
const DELAY_MS_MAX = 5_000;
const CONNECT_MS_MAX = 20_000;
const counts = { refused: 0, failed: 0, slow: 0 };
let clients = [];

/** Connects once. Resolves to the client, or to undefined when it was refused, failed or took too long. */
async function connect() {
  const ws = new EngineSocket(port, socketUrl({}, path));
  let joined;
  const isJoined = new Promise((done) => {
    joined = done;
  });
  ws.onText = (text) => {
    if (text.startsWith("0{")) ws.text("40");
    else if (text.startsWith("40{")) joined("joined");
  };
  const slow = new AbortController();
  const outcome = await Promise.race([
    isJoined,
    ws.end.then(() => "ended"),
    ws.answered.then(() => (ws.status > 101 ? "refused" : isJoined)),
    pause(CONNECT_MS_MAX, "slow", { signal: slow.signal }),
  ]);
  slow.abort();
  if (outcome === "joined") return ws;
  counts[outcome === "refused" || ws.status > 101 ? "refused" : outcome === "slow" ? "slow" : "failed"] += 1;
  ws.stream.destroy();
  return undefined;
}

async function comesBack(begun) {
  for (let attempt = 0; ; attempt += 1) {
    const delay = Math.min(DELAY_MS * 2 ** attempt, DELAY_MS_MAX);
    await pause(delay * (0.5 + Math.random()));
    const ws = await connect();
    if (ws) return { ws, ms: performance.now() - begun };
  }
}

while (clients.length < count) {
  const wave = Array.from({ length: Math.min(200, count - clients.length) }, connect);
  clients.push(...(await Promise.all(wave)).filter(Boolean));
}
counts.refused = counts.failed = counts.slow = 0;

process.on("message", async () => {
  for (const ws of clients) ws.stream.destroy();
  const begun = performance.now();
  const back = await Promise.all(clients.map(() => comesBack(begun)));
  clients = back.map(({ ws }) => ws);
  const times = back.map(({ ms }) => ms).sort((a, b) => a - b);
  process.send({ kind: "report", ...counts, half: times[times.length >> 1], all: times.at(-1) });
});
process.on("disconnect", () => process.exit());
process.send({ kind: "ready" });
