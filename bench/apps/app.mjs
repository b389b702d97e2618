// The app of every row: an ordinary Socket.IO server, plain when TRUNKLINE_ENDPOINT is unset, else behind Trunkline.
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
io.on("connection", (socket) => {
  // For `--call gc`: memory is read when what nobody needs is gone.
  socket.on("gc", async (acknowledge) => {
    for (let round = 0; round < 3; round++) {
      globalThis.gc?.();
      await wait(50);
    }
    acknowledge("done");
  });
});

const trunkline = process.env.TRUNKLINE_ENDPOINT
  ? (await import("@trunkline/socket.io")).useTrunkline(io)
  : undefined;
await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
await trunkline?.ready;
console.log(JSON.stringify({ port: http.address().port, pid: process.pid }));
