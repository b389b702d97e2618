// The app of every row: an ordinary Socket.IO server, plain when TRUNKLINE_ENDPOINT is unset, else behind Trunkline.
// Started with --expose-gc; writes one line of JSON to stdout when it is ready.
import { createServer } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, {
  pingInterval: Number(process.env.PING_INTERVAL_MS ?? 25_000),
});

io.on("connection", (socket) => {
  socket.on("echo", (text, acknowledge) => acknowledge(text));

  // `first`, `count`: sequence numbers; `at`: when the client asked, as text; `bytes`: size of each message.
  socket.on("broadcast", (first, count, at, bytes) => {
    for (let sequence = first; sequence < first + count; sequence++) {
      io.emit("b", `${sequence}:${at}:`.padEnd(bytes, "x"));
    }
  });

  socket.on("who", (acknowledge) => acknowledge(String(process.pid)));

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
