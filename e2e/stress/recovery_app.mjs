// An app server with connection state recovery: it accepts only clients that ask for it or accept any, and reports
// which came and how.
import { serve } from "../apps/serve.mjs";

serve((context) => {
  const { io, server } = context;
  const arrivals = (context.arrivals = []);
  let middlewares = 0;
  io.use((_socket, next) => {
    middlewares += 1;
    next();
  });
  io.engine.opts.allowRequest = (request, done) => {
    const wanted = new URL(request.url, "http://localhost").searchParams.get("want");
    done(null, wanted === null || wanted === server);
  };
  io.on("connection", (socket) => {
    const { client, rooms, data } = socket.handshake.auth;
    if (!socket.recovered) {
      socket.join(rooms);
      Object.assign(socket.data, data);
    }
    const at = Number(process.hrtime.bigint()) / 1e6;
    arrivals.push({
      at,
      client,
      id: socket.id,
      recovered: socket.recovered,
      rooms: [...socket.rooms].sort(),
      data: { ...socket.data },
    });
    socket.emit("server", server);
  });

  /** `list`: `{ id, rooms, except }` for each; a separate turn for each, over `withinMs`. */
  context.cast = async ({ list, withinMs }) => {
    for (const { id, rooms, except } of list) {
      io.to(rooms).except(except).emit("message", id, Buffer.from(id));
      await new Promise((done) => (withinMs > 0 ? setTimeout(done, withinMs / list.length) : setImmediate(done)));
    }
  };
  context.report = () => ({ arrivals, middlewares, clients: io.engine.clientsCount, sockets: io.sockets.sockets.size });
});
