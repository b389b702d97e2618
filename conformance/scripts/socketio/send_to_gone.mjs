// Emitting to a socket that has left its namespace still reaches the client; its id as a room reaches no socket.
export function app(io, log) {
  io.on("connection", (socket) => {
    socket.on("disconnect", (reason) => {
      socket.emit("late", 1);
      io.to(socket.id).emit("late", 2);
      log("disconnect", [reason, socket.connected, io.of("/").sockets.size]);
    });
  });
}

export async function run(t) {
  const ws = await t.direct({ join: true });
  ws.text("41");
  await t.saw("disconnect");
  t.log("server", await ws.next());
  t.log("connect again", await ws.text("40").next());
}
