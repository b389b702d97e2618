// The app ends a WebSocket session: its earlier messages arrive, then the close frame.
import { watchSocket } from "../../app.mjs";

export function app(io, log) {
  io.engine.on("connection", (conn) => conn.on("close", (reason) => log("close", reason)));
  io.on("connection", (socket) => {
    watchSocket(socket, log);
    socket.on("disconnect(true)", () => socket.disconnect(true));
    socket.on("talk, disconnect(true)", () => {
      socket.emit("last", 1);
      socket.emit("last", Buffer.from([2]));
      socket.disconnect(true);
      socket.emit("never", 3);
    });
    socket.on("conn.close()", () => socket.conn.close());
    socket.on("conn.close(true)", () => socket.conn.close(true));
    socket.on("talk, conn.close()", () => {
      socket.emit("last", 1);
      socket.conn.close();
      socket.emit("never", 2);
    });
  });
}

export const table = Object.fromEntries(
  ["disconnect(true)", "talk, disconnect(true)", "conn.close()", "conn.close(true)", "talk, conn.close()"].map(
    (name) => [name, name],
  ),
);

export async function run(t, name) {
  const ws = await t.direct({ join: true });
  ws.text(`42["${name}"]`);
  t.log("server", await ws.rest());
  await t.saw("close");
}
