// Clients that send echoes as fast as the server takes them, and read the answers.
import { setTimeout as pause } from "node:timers/promises";
import { EngineSocket, PollingSession, SEPARATOR, socketUrl } from "../../testing/engine.mjs";
import { encodeFrame } from "../../testing/frames.mjs";
import { until } from "../../testing/wait.mjs";

const [port, path, count, kind] = [Number(process.argv[2]), process.argv[3], Number(process.argv[4]), process.argv[5]];
const ECHO = '421["echo",1]';
const PER_WRITE = 2_000;
const UNSENT_BYTES_MAX = 256 * 1024;
const frames = Buffer.concat(Array(PER_WRITE).fill(encodeFrame({ payload: ECHO })));
const post = Array(PER_WRITE).fill(ECHO).join(SEPARATOR);
let floods = false;
let answers = 0;
let ended = 0;

async function overSocket() {
  const ws = new EngineSocket(port, socketUrl({}, path));
  await ws.opened();
  ws.text("40");
  await until("the socket", () => ws.texts.some((text) => text.startsWith("40{")));
  ws.onText = () => {
    answers += 1;
  };
  return async () => {
    while (floods && !ws.ended) {
      if (ws.unsentBytes < UNSENT_BYTES_MAX) ws.raw(frames);
      await pause(1);
    }
    if (ws.ended) ended += 1;
  };
}

async function overPolling() {
  const session = await PollingSession.open(port, { path });
  await session.post("40");
  const polls = async () => {
    while (floods) answers += (await session.get()).body.split(SEPARATOR).length;
  };
  return async () => {
    void polls().catch(() => {
      ended += 1;
    });
    while (floods) await session.post(post);
  };
}

const open = kind === "polling" ? overPolling : overSocket;
const starts = await Promise.all(Array.from({ length: count }, open));
process.on("message", ({ kind: what }) => {
  floods = what === "start";
  if (floods) for (const start of starts) void start();
  else process.send({ kind: "report", answers, ended });
});
process.on("disconnect", () => process.exit());
process.send({ kind: "ready" });
