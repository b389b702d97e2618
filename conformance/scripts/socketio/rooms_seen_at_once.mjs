// `join`, `leave` and the maps behind them take effect at once, without `await`.
export function app(io, log) {
  io.on("connection", (socket) => {
    const rooms = () => [...socket.rooms].filter((room) => room !== socket.id);
    socket.join("a");
    log("after join", [rooms(), io.of("/").adapter.rooms.get("a")?.size, io.of("/").adapter.sids.get(socket.id)?.size]);
    socket.join(["b", "c"]);
    socket.leave("a");
    log("after leave", [rooms(), io.of("/").adapter.rooms.has("a")]);
    log("counts", [io.engine.clientsCount, io.of("/").sockets.size, io.sockets.sockets.has(socket.id)]);
    socket.on("disconnecting", () => log("disconnecting", rooms()));
    socket.on("disconnect", () => log("disconnect", [rooms(), io.of("/").adapter.rooms.size]));
    for (const event of ["create-room", "join-room", "leave-room", "delete-room"]) {
      io.of("/").adapter.on(event, (room) => log(event, room === socket.id ? "<own>" : room));
    }
    socket.join("d");
    socket.leave("d");
  });
}

export async function run(t) {
  const ws = await t.direct({ join: true });
  ws.text("41");
  await t.saw("disconnect");
}
