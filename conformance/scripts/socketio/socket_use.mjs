// Socket middlewares (`socket.use`) see every event and may refuse it.
export function app(io, log) {
  io.on("connection", (socket) => {
    socket.use(([name, ...args], next) => {
      log("middleware", [name, args.length]);
      next(name === "forbidden" ? new Error("not allowed") : undefined);
    });
    socket.on("error", (error) => (log("error", error.message), socket.emit("refused", error.message)));
    socket.onAny((name) => log("event", name));
    socket.on("fine", (ack) => ack("ok"));
  });
}

export async function run(t) {
  const ws = await t.direct({ join: true });
  t.log("server", await ws.text('42["forbidden",1,2]').next());
  t.log("server", await ws.text('421["fine"]').next());
}
