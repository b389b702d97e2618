// A shared whiteboard, written like any other Socket.IO app; `useTrunkline(io)` puts it behind Trunkline.
//
// The app server keeps no drawing: a new client gets the picture so far, as a PNG, from one of the clients that have
// it, whichever app server holds that client.
import { createServer } from "node:http";
import { useTrunkline } from "@trunkline/socket.io";
import { Server } from "socket.io";

const SERVER = process.env.SERVER_NAME ?? `app-${process.pid}`;
const SNAPSHOT_BYTES_MAX = 900_000;
const POINTS_MAX = 512;

const httpServer = createServer();
const io = new Server(httpServer, {
  // The page comes from another origin than Trunkline. In production, name your page's origin here.
  cors: { origin: "*" },
});
const trunkline = useTrunkline(io);

io.on("connection", (socket) => {
  socket.emit("welcome", { server: SERVER });

  // Ink must arrive. A cursor may be dropped: the next one is more recent anyway.
  socket.on("ink", (stroke) => {
    if (isStroke(stroke)) socket.broadcast.emit("ink", stroke);
  });
  socket.on("cursor", (x, y, color) => {
    if ([x, y].every(Number.isFinite))
      socket.broadcast.volatile.emit("cursor", socket.id, x, y, String(color).slice(0, 32));
  });
  socket.on("clear", () => io.emit("clear"));

  // The new client asks all others, those that have a drawing offer it, and the new client takes one.
  socket.broadcast.emit("who has a drawing", socket.id);
  socket.on("i have one", (newcomer) => {
    if (isId(newcomer)) io.to(newcomer).emit("offer", socket.id);
  });
  socket.on("yours please", (owner) => {
    if (isId(owner)) io.to(owner).emit("send your drawing", socket.id);
  });
  socket.on("drawing", (newcomer, png) => {
    if (!isId(newcomer) || !Buffer.isBuffer(png) || png.length > SNAPSHOT_BYTES_MAX) return;
    io.to(newcomer).emit("drawing", png);
  });

  socket.on("disconnect", () => io.emit("gone", socket.id));
});

function isId(value) {
  return typeof value === "string" && value.length <= 64;
}
function isStroke(stroke) {
  const points = stroke?.points;
  return Array.isArray(points) && points.length <= POINTS_MAX && points.every(Number.isFinite);
}

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => io.close(() => process.exit(0)));
}

httpServer.listen(Number(process.env.PORT ?? 3001));
await trunkline.ready;
console.log(`whiteboard app server ${SERVER} is ready`);
