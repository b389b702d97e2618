// A session that joins no namespace in `connectTimeout` is closed; one that joined is not.
export const options = { connectTimeout: 150 };

export const table = {
  websocket: async (t) => t.log("server", await (await t.direct()).rest()),
  "websocket, refused by a middleware": async (t) => {
    const ws = await t.direct();
    t.log("server", await ws.text("40/refusing,").next());
    t.log("server", await ws.rest());
  },
  "polling, poll held": async (t) => {
    const session = await t.polling();
    t.log("GET", await session.get());
    t.log("GET", await session.get());
  },
  "joined in time": async (t) => {
    const ws = await t.direct({ join: true });
    await t.pause(250);
    t.log("echo", await ws.text('42["echo",1]').next());
  },
};

export function app(io, log) {
  io.engine.on("connection", (conn) => conn.on("close", (reason) => log("close", reason)));
  io.of("/refusing").use((socket, next) => next(new Error("no")));
  io.on("connection", (socket) => socket.on("echo", (...args) => socket.emit("echo", ...args)));
}

export async function run(t, script) {
  await script(t);
}
