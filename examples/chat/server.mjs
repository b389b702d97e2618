// A chat app server, written like any other Socket.IO app. The one line that puts it behind Trunkline is
// `useTrunkline(io)`: clients connect to Trunkline, and this process holds no client connection.
//
// App servers share nothing: no database, no Redis, no list of users. A roll call finds out who is online, and
// Trunkline knows the rooms. When an app server ends, another one takes its clients over, and they stay connected.
import { createServer } from "node:http";
import { useTrunkline } from "@trunkline/socket.io";
import { Server } from "socket.io";

const SERVER = process.env.SERVER_NAME ?? `app-${process.pid}`;
const NAME_MAX = 24;
const TEXT_MAX = 2000;
const PICTURE_TYPES = ["image/png", "image/jpeg", "image/gif", "image/webp"];

const httpServer = createServer();
const io = new Server(httpServer, {
  // The page comes from another origin than Trunkline. In production, name your page's origin here.
  cors: { origin: "*" },
  // Sockets come back with their rooms and data: after a short loss of the network, and at the next app server.
  connectionStateRecovery: {},
});
const trunkline = useTrunkline(io);

io.use((socket, next) => {
  const { id, name, room } = socket.handshake.auth;
  if (!isWord(name, NAME_MAX) || !isWord(id, 64)) {
    return next(new Error("a name, please"));
  }
  socket.data = { id, name: name.trim(), room: isWord(room, NAME_MAX) ? room : "lobby" };
  next();
});

io.on("connection", (socket) => {
  const person = () => ({ ...socket.data, socket: socket.id, server: SERVER });
  const inRoom = () => socket.to(`room:${socket.data.room}`);

  if (!socket.recovered) {
    socket.join(`room:${socket.data.room}`);
    inRoom().emit("notice", `${socket.data.name} is here`);
  }
  socket.emit("welcome", { server: SERVER, room: socket.data.room });

  // All clients learn of the new one, whichever app server they are on, and answer so that the new one learns of them.
  // A client that only got another app server knows the others already.
  io.emit("present", person());
  if (!socket.conn.rehomed) socket.broadcast.emit("roll call", socket.id);
  socket.on("here", (caller) => {
    if (isWord(caller, 64)) io.to(caller).emit("present", person());
  });

  socket.on("enter", (room, done) => {
    if (!isWord(room, NAME_MAX) || typeof done !== "function") return;
    inRoom().emit("notice", `${socket.data.name} went to #${room}`);
    socket.leave(`room:${socket.data.room}`);
    socket.data.room = room;
    socket.join(`room:${room}`);
    inRoom().emit("notice", `${socket.data.name} came in`);
    io.emit("present", person());
    done({ room });
  });

  socket.on("message", (text, done) => {
    if (!isWord(text, TEXT_MAX) || typeof done !== "function") return;
    const at = Date.now();
    inRoom().emit("message", { from: person(), text, at });
    done({ server: SERVER, at });
  });

  // `bytes` is a Buffer here and an ArrayBuffer in the browser: binary all the way.
  socket.on("picture", (bytes, { type, alt } = {}, done) => {
    if (!Buffer.isBuffer(bytes) || !PICTURE_TYPES.includes(type) || typeof done !== "function") return;
    const at = Date.now();
    inRoom().emit("picture", { from: person(), type, alt: String(alt).slice(0, 100), at }, bytes);
    done({ server: SERVER, at, bytes: bytes.length });
  });

  // Worthless a second later, so it may be dropped for a client that is slow to read.
  socket.on("typing", () => inRoom().volatile.emit("typing", person()));

  socket.on("disconnect", (_reason, details) => {
    // The person stays: another app server has taken over.
    if (details?.rehomed) return;
    inRoom().emit("notice", `${socket.data.name} left`);
    io.emit("gone", person());
  });
});

function isWord(value, lengthMax) {
  return typeof value === "string" && value.trim() !== "" && value.length <= lengthMax;
}

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => io.close(() => process.exit(0)));
}

httpServer.listen(Number(process.env.PORT ?? 3001));
await trunkline.ready;
console.log(`chat app server ${SERVER} is ready`);
