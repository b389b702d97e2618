// The events that a Socket.IO app must offer for `trunkline bench`.
export function benchEvents(io) {
  io.on("connection", (socket) => {
    socket.on("echo", (text, acknowledge) => acknowledge(text));

    // `first`, `count`: sequence numbers; `at`: when the client asked, as text; `bytes`: size of each message.
    socket.on("broadcast", (first, count, at, bytes) => {
      for (let sequence = first; sequence < first + count; sequence++) {
        io.emit("b", `${sequence}:${at}:`.padEnd(bytes, "x"));
      }
    });

    // For `rooms`: `names` is an array; a message to a room is sent on unchanged.
    socket.on("join", async (names, acknowledge) => {
      await socket.join(names);
      acknowledge("joined");
    });
    socket.on("room", (name, text) => io.to(name).emit("r", text));

    // For `reconnect`: tells the client which app server it has.
    socket.on("who", (acknowledge) => acknowledge(String(process.pid)));
  });
}
