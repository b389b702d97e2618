// The app of every Node.js row: an ordinary Socket.IO server; behind Redis with REDIS_URL, behind Trunkline with TRUNKLINE_ENDPOINT.
// Started with --expose-gc; writes one line of JSON to stdout when it is ready.
import { createServer } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import { Server } from "socket.io";

import { benchEvents } from "./events.mjs";

const http = createServer();
const io = new Server(http, {
  pingInterval: Number(process.env.PING_INTERVAL_MS ?? 25_000),
});

benchEvents(io);
if (process.env.REDIS_URL) await useRedis(process.env.REDIS_URL);
io.on("connection", (socket) => {
  // For `--call gc`: memory is read when what nobody needs is gone, in every app server that there is.
  socket.on("gc", async (acknowledge) => {
    await Promise.all([collect(), process.env.REDIS_URL && io.serverSideEmitWithAck("gc")]);
    acknowledge("done");
  });
});
io.on("gc", async (acknowledge) => {
  await collect();
  acknowledge("done");
});

async function collect() {
  for (let round = 0; round < 3; round++) {
    globalThis.gc?.();
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

const trunkline = process.env.TRUNKLINE_ENDPOINT
  ? (await import("@trunkline/socket.io")).useTrunkline(io)
  : undefined;
await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
await trunkline?.ready;
console.log(JSON.stringify({ port: http.address().port, pid: process.pid }));
