// `conn` events: `packet` for input, `packetCreate` for output, with the data unchanged.
export function app(io, log) {
  io.engine.on("connection", (conn) => {
    conn.on("packet", ({ type, data }) => log("packet", [type, data ?? null]));
    conn.on("packetCreate", ({ type, data }) =>
      log("packetCreate", [type, String(data).replace(/"sid":"[^"]+"/, '"sid":"…"')]),
    );
  });
  io.on("connection", (socket) => {
    socket.on("echo", (...args) => socket.emit("echo", ...args));
  });
}

export async function run(t) {
  const ws = await t.direct({ join: true });
  await ws.text('42["echo",1]').next();
  ws.text('451-["echo",{"_placeholder":true,"num":0}]').binary(Buffer.from([1, 2]));
  await ws.take(2);
}
