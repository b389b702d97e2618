// A chat as the SDK's documentation builds one, with everything else that the tests need of an app.
import { serve } from "./serve.mjs";

serve(({ io, note, server }) => {
  const everySocket = (socket) => {
    socket.on("server", (done) => done(server));
    socket.on("echo", (...args) => args.pop()(...args));
    socket.on("repeat", (...args) => socket.emit("repeat", ...args));
    socket.on("say", (text) => io.of(socket.nsp.name).emit("said", { from: socket.id, text }));
    socket.on("say to others", (text) => socket.broadcast.emit("said", { from: socket.id, text }));
    socket.on("join", async (room, done) => {
      await socket.join(room);
      done();
    });
    socket.on("leave", async (room, done) => {
      await socket.leave(room);
      done();
    });
    socket.on("say to", ({ rooms, text }) => socket.to(rooms).emit("said", { from: socket.id, text }));
    socket.on("leave the chat", (close) => socket.disconnect(close));
    socket.on("disconnect", (reason) => note("disconnect", { id: socket.id, reason }));
    note("connection", {
      id: socket.id,
      nsp: socket.nsp.name,
      headers: socket.request.headers,
      claims: socket.request.claims,
      query: socket.handshake.query,
    });
  };
  io.use((socket, next) => next(socket.handshake.auth.refuse ? new Error("not you") : undefined));
  io.on("connection", everySocket);
  io.of("/room").on("connection", everySocket);
});
