// `socket.conn.transport.name` follows the upgrade, and `conn` emits an event for it.
export function app(io, log) {
  io.on("connection", (socket) => {
    const { conn } = socket;
    log("before", conn.transport.name);
    conn.once("upgrade", (transport) => log("upgrade", [transport.name, conn.transport.name]));
    socket.on("which", (ack) => ack(conn.transport.name, conn.readyState, conn.protocol));
  });
}

export async function run(t) {
  const session = await t.polling({ join: true });
  await session.post('421["which"]');
  t.log("before", (await session.get()).body);
  const ws = await session.upgrade();
  t.log("after", await ws.text('422["which"]').next());
}
