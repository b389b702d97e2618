// An ordinary app that uses the features that Socket.IO's documentation shows.
import { serve } from "./serve.mjs";

serve(({ io, note, server }) => {
  const everySocket = (socket) => {
    note("connection", { id: socket.id, nsp: socket.nsp.name, auth: socket.handshake.auth });
    socket.on("disconnecting", (reason) => note("disconnecting", { id: socket.id, reason, rooms: [...socket.rooms] }));
    socket.on("disconnect", (reason) => note("disconnect", { id: socket.id, reason }));
    socket.on("server", (done) => done(server));
    socket.on("echo", (...args) => args.pop()(...args));
    socket.on("repeat", (...args) => socket.emit("repeat", ...args));
    socket.on("join", (room, done) => {
      socket.join(room);
      // No `await`: this process's own view is correct at once.
      done(socket.rooms.has(room) && io.of(socket.nsp.name).adapter.rooms.get(room).has(socket.id));
    });
    socket.on("leave", (room, done) => {
      socket.leave(room);
      done(!socket.rooms.has(room));
    });
    socket.on("never", () => {});
  };

  io.use((socket, next) => {
    if (!socket.handshake.auth.refuse) return next();
    const error = new Error("not you");
    error.data = { advice: "be somebody else" };
    next(error);
  });
  io.use((socket, next) => {
    socket.data.seen = ["first"];
    setImmediate(next);
  });
  io.use((socket, next) => {
    socket.data.seen.push("second");
    next();
  });

  io.on("connection", (socket) => {
    everySocket(socket);
    socket.use(([event], next) => next(event === "forbidden" ? new Error("not that") : undefined));
    socket.on("error", (error) => socket.emit("complaint", error.message));
    socket.on("forbidden", () => socket.emit("complaint", "nobody stopped it"));
  });

  io.of("/static").on("connection", everySocket);
  io.of(/^\/dynamic-\d+$/).on("connection", everySocket);
  io.of((name, auth, next) => next(null, /^\/by-token-\d$/.test(name) && auth?.token === "right")).on(
    "connection",
    everySocket,
  );
});
