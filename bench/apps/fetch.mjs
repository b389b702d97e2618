// The app of `fetch-sockets.mjs`: an ordinary Socket.IO server; with REDIS_URL behind Redis, with TRUNKLINE_ENDPOINT
// behind Trunkline. The measurement controls it through its own HTTP server. Writes one line of JSON to stdout when it
// is ready.
import { createServer } from "node:http";
import { Server } from "socket.io";

const ROOM_EVERY = 100;
const routes = {
  "/count": () => ({ sockets: io.sockets.sockets.size }),
  "/all": (query) => fetchAgain(io, Number(query.get("times"))),
  "/room": (query) => fetchAgain(io.in("hundredth"), Number(query.get("times"))),
};

/** Durations of successive calls, and how many different sockets each call returned. */
async function fetchAgain(target, times) {
  const calls = [];
  for (let call = 0; call < times; call++) {
    const before = performance.now();
    const sockets = await target.fetchSockets();
    calls.push({
      ms: performance.now() - before,
      sockets: new Set(sockets.map(({ id }) => id)).size,
      whole: sockets.every(isWhole),
    });
  }
  return calls;
}

function isWhole({ id, rooms, data, handshake }) {
  return rooms.has(id) && rooms.has("everybody") && typeof data.name === "string" && handshake.time !== undefined;
}

const http = createServer(async (request, answer) => {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  try {
    answer.end(JSON.stringify(await routes[pathname](searchParams)));
  } catch (error) {
    answer.writeHead(500).end(String(error));
  }
});
const io = new Server(http);
let arrived = 0;
io.on("connection", (socket) => {
  arrived += 1;
  socket.data.name = `visitor ${arrived}`;
  socket.join(arrived % ROOM_EVERY === 0 ? ["everybody", "hundredth"] : ["everybody"]);
});

if (process.env.REDIS_URL) {
  const { createClient } = await import("redis");
  const { createAdapter } = await import("@socket.io/redis-adapter");
  const publisher = createClient({ url: process.env.REDIS_URL });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  io.adapter(createAdapter(publisher, subscriber));
}
const trunkline = process.env.TRUNKLINE_ENDPOINT ? (await import("@trunkline/socket.io")).useTrunkline(io) : undefined;
await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
await trunkline?.ready;
console.log(JSON.stringify({ port: http.address().port, pid: process.pid }));
