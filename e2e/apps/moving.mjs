// An app server whose clients go to others: it counts what it handles, and answers at once, later, or never.
import { serve } from "./serve.mjs";

serve((context) => {
  const { io, server, note } = context;
  /** What was handled here: the client's name and its number. */
  context.handled = [];
  io.on("connection", (socket) => {
    const { client } = socket.handshake.auth;
    if (!socket.recovered) {
      socket.join(["everybody", 5]);
      socket.data.first = server;
    }
    const { recovered, id, rooms, data, conn } = socket;
    note("connected", { client, id, recovered, rehomed: conn.rehomed, rooms: [...rooms], data: { ...data } });
    socket.on("disconnect", (reason, details) => note("disconnected", { client, reason, rehomed: details?.rehomed }));
    // Only a client that has received a broadcast can come back.
    socket.emit("welcome", server);
    const handle = (number) => {
      context.handled.push(`${client} ${number}`);
      socket.data.last = number;
    };
    socket.on("ask", (number, answer) => {
      handle(number);
      answer(server, number);
    });
    socket.on("ask later", (number, answer) => {
      handle(number);
      setTimeout(answer, 5, server, number);
    });
    socket.on("ask in vain", (number) => handle(number));
  });
});
