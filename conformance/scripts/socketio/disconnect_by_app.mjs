// The app ends a socket, with and without its underlying connection.

export const single = "the app finds its sockets in its own process";

export const table = {
  "disconnect()": { action: "disconnect", args: [] },
  "disconnect(true)": { action: "disconnect", args: [true], gone: true },
  "disconnect() of one of two namespaces": { action: "disconnectAdmin", args: [], admin: true },
  "disconnect(true) with two namespaces": { action: "disconnectAdmin", args: [true], admin: true, gone: true },
  "disconnectSockets()": { action: "disconnectSockets", args: [] },
  "disconnectSockets(true)": { action: "disconnectSockets", args: [true], gone: true },
  "in(room).disconnectSockets()": { action: "disconnectRoom", args: [] },
};

export function app(io, log) {
  const sockets = {};
  for (const name of ["/", "/admin"]) {
    io.of(name).on("connection", (socket) => {
      sockets[name] = socket;
      socket.join("room");
      socket.on("disconnecting", (reason) => log("disconnecting", [name, reason, socket.rooms.size]));
      socket.on("disconnect", (reason) => log("disconnect", [name, reason, socket.rooms.size, socket.connected]));
    });
  }
  io.engine.on("connection", (conn) => conn.on("close", (reason) => log("close", reason)));
  return {
    disconnect: (...args) => void sockets["/"].disconnect(...args),
    disconnectAdmin: (...args) => void sockets["/admin"].disconnect(...args),
    disconnectSockets: (...args) => io.disconnectSockets(...args),
    disconnectRoom: () => io.in("room").disconnectSockets(),
  };
}

export async function run(t, { action, args, admin, gone }) {
  const ws = await t.direct({ join: true });
  if (admin) await ws.text("40/admin,").next();
  await t.tell(action, ...args);
  if (gone) return t.log("server", await ws.rest());
  t.log("server", await ws.next());
  if (admin) return t.log("default namespace", await ws.text("40/x,").next());
  t.log("connect again", await ws.text("40").next());
}
