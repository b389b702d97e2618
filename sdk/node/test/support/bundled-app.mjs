// An app server as a bundler gets it: everything in one file, nothing to look up beside it. Other app servers tell it
// what to do.
import { Server } from "socket.io";
import { useTrunkline } from "@trunkline/socket.io";

const io = new Server({ connectionStateRecovery: {} });
const trunkline = useTrunkline(io);
trunkline.on("warning", (message) => console.log(`warning: ${message}`));
io.on("connection", (socket) => socket.join("room"));
io.on("fetch", (done) =>
  io.fetchSockets().then(
    (sockets) => done(sockets.map(({ id, rooms }) => [id, rooms.size])),
    (error) => done(String(error)),
  ),
);
io.on("join", (id, room, done) => {
  io.in(id).socketsJoin(room);
  done();
});
io.on("disconnect all", (done) => {
  io.disconnectSockets();
  done();
});
io.on("leave", () => io.close());
