// An app with Socket.IO's Admin UI.
import { createRequire } from "node:module";
import { joinPair } from "./plain_pair.mjs";
import { serve } from "./serve.mjs";

const { instrument } = createRequire(import.meta.url)("@socket.io/admin-ui");

serve((context) => {
  const { io, server } = context;
  if (!context.trunkline) context.take = joinPair(io);
  instrument(io, { auth: false, mode: "development", serverId: server });
  const everySocket = (socket) => {
    socket.data.home = server;
    socket.on("server", (done) => done(server));
    socket.on("say", (text) => socket.emit("said", text));
    socket.on("rooms", (done) => done([...socket.rooms].filter((room) => room !== socket.id)));
  };
  io.on("connection", everySocket);
  io.of("/chat").on("connection", everySocket);
});
