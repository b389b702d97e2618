// The app of every JavaScript row: an ordinary Socket.IO server. REDIS_URL puts it behind Redis, TRUNKLINE_ENDPOINT
// behind Trunkline, BUN_ENGINE onto Bun's own HTTP server. RECOVERY switches connection state recovery on, `stay` with
// clients that end with their app server, `move` with clients that move. Node.js runs it with --expose-gc; it writes one line of JSON
// to stdout when it is ready.
import { createServer } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import { Server } from "socket.io";

import { benchEvents } from "./events.mjs";

const pingInterval = Number(process.env.PING_INTERVAL_MS ?? 25_000);
const recovery = process.env.RECOVERY && { connectionStateRecovery: {} };
const { io, listen } = process.env.BUN_ENGINE ? await onBun() : onNode();

benchEvents(io);
if (process.env.REDIS_URL) await useRedis(process.env.REDIS_URL);
io.on("connection", (socket) => {
  // For `--call gc`: in every app server, memory is read after a garbage collection.
  socket.on("gc", async (acknowledge) => {
    await Promise.all([collect(), process.env.REDIS_URL && io.serverSideEmitWithAck("gc")]);
    acknowledge("done");
  });
});
io.on("gc", async (acknowledge) => {
  await collect();
  acknowledge("done");
});

function onNode() {
  const http = createServer();
  const listen = () => new Promise((resolve) => http.listen(0, "127.0.0.1", () => resolve(http.address().port)));
  return { io: new Server(http, { pingInterval, ...recovery }), listen };
}

async function onBun() {
  const { Server: Engine } = await import("@socket.io/bun-engine");
  const engine = new Engine({ path: "/socket.io/", pingInterval });
  const io = new Server({ pingInterval });
  io.bind(engine);
  return { io, listen: () => Bun.serve({ port: 0, hostname: "127.0.0.1", idleTimeout: 30, ...engine.handler() }).port };
}

async function collect() {
  for (let round = 0; round < 3; round++) {
    globalThis.gc?.();
    globalThis.Bun?.gc(true);
    await wait(50);
  }
}

async function useRedis(url) {
  const { createAdapter } = await import("@socket.io/redis-adapter");
  const { createClient } = await import("redis");
  const [publisher, subscriber] = [createClient({ url }), createClient({ url })];
  await Promise.all([publisher.connect(), subscriber.connect()]);
  io.adapter(createAdapter(publisher, subscriber));
}

const rehome = process.env.RECOVERY !== "stay";
const trunkline = process.env.TRUNKLINE_ENDPOINT && (await import("@trunkline/socket.io")).useTrunkline(io, { rehome });
const port = await listen();
await trunkline?.ready;
console.log(JSON.stringify({ port, pid: process.pid }));
