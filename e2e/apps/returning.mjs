// An app server whose clients return: a slow middleware, numbered broadcasts, and a list of its sockets.
import { serve } from "./serve.mjs";

serve((context) => {
  const { io, server, note } = context;
  context.delayMs = 10;
  io.use((_socket, next) => setTimeout(next, context.delayMs));
  io.on("connection", (socket) => {
    note("connected", { id: socket.id, recovered: socket.recovered, client: socket.handshake.auth.client });
    socket.on("disconnect", (reason) =>
      note("disconnected", { id: socket.id, reason, client: socket.handshake.auth.client }),
    );
  });
  let last = 0;
  let timer;
  /** Broadcasts at an interval, until told otherwise. */
  context.cast = (everyMs) => {
    clearInterval(timer);
    if (everyMs > 0) timer = setInterval(() => io.emit("message", server, ++last), everyMs);
    return last;
  };
  context.once = () => (io.emit("message", server, ++last), last);
});
