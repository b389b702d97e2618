// Packets that a client sent together are handled together: the effect of one is visible to the next.
export function app(io, log) {
  let turn = 0;
  io.on("connection", (socket) => {
    socket.on("mark", (name) => {
      log("mark", [name, [...socket.rooms].filter((room) => room !== socket.id), { turn }]);
      if (name === "first") {
        socket.join("room");
        setImmediate(() => {
          turn += 1;
          log("turn over");
        });
      }
    });
  });
}

export async function run(t) {
  const session = await t.polling({ join: true });
  await session.post(['42["mark","first"]', '42["mark","second"]', '42["mark","third"]'].join("\x1e"));
  await t.saw("turn over");
}
