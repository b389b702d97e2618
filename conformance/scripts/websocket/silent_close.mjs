// The server disconnects a client that does not answer its close frame.
export async function run(t) {
  const ws = await t.direct({ join: true });
  ws.text('42["bye"]');
  t.log("server", await ws.next());
  t.log("server", await ws.next());
  await t.saw("disconnect");
  t.log("session", await t.http("GET", t.url({ sid: ws.open.sid })).then(({ status }) => status));
}

export function app(io, log) {
  io.on("connection", (socket) => {
    socket.on("bye", () => socket.disconnect(true));
    socket.on("disconnect", (reason) => log("disconnect", reason));
  });
}
