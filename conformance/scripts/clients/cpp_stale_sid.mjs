// C++ clients reconnect with the previous session's sid, over either transport, and only then without a sid.
import { watchSocket } from "../../app.mjs";

export function app(io, log) {
  io.on("connection", (socket) => watchSocket(socket, log));
}

export const table = {
  GET: async (t, path) => t.log("GET", await t.http("GET", path)),
  POST: async (t, path) => t.log("POST", await t.http("POST", path, { body: "40" })),
  WebSocket: async (t, path) => {
    const ws = await t.websocket(path.replace("transport=polling", "transport=websocket"));
    t.log("WebSocket", ws.response);
  },
};

export async function run(t, knock) {
  const session = await t.polling({ join: true });
  await session.post("1");
  await t.saw("disconnect");
  await knock(t, session.path);
  const next = await t.polling({ join: true });
  t.log("another session", next.sid !== session.sid);
}
