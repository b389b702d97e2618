// An app server whose clients come from others, with an app that does not take each of them.
import { serve } from "./serve.mjs";

serve((context) => {
  const { io, server, note } = context;
  /** Clients that the middleware refuses from now on. */
  context.refused = new Set();
  io.use((socket, next) => {
    const { client } = socket.handshake.auth;
    note("asked", { client });
    next(context.refused.has(client) ? new Error("not here") : undefined);
  });
  context.serve = (nsp) =>
    nsp.on("connection", (socket) => {
      const { client } = socket.handshake.auth;
      const { recovered, conn } = socket;
      note("connected", { client, nsp: nsp.name, recovered, rehomed: conn.rehomed });
      socket.on("disconnect", (reason) => note("disconnected", { client, nsp: nsp.name, reason }));
      socket.on("server", (answer) => answer(server));
      // Only a client that has received a broadcast can come back.
      socket.emit("welcome", server);
      if (client === "poison" && conn.rehomed) process.exit(1);
    });
  context.serve(io.of("/"));
  if (server !== "without") context.serve(io.of("/rooms"));
});
