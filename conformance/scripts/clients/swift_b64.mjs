// Swift clients ask for base64 with `b64=1`, a parameter of Engine.IO 3 that Engine.IO 4 ignores.
import { event } from "../../lib/tools.mjs";

const query = { b64: "1" };

export function app(io) {
  io.on("connection", (socket) => socket.on("binary", () => socket.emit("binary", Buffer.from([1, 2, 3]))));
}

export const table = {
  polling: async (t) => {
    const session = await t.polling({ query, join: true });
    t.log("open", session.response);
    await session.post(event("binary"));
    t.log("GET", await session.collect(2));
  },
  WebSocket: async (t) => {
    const ws = await t.direct({ query, join: true });
    ws.text(event("binary"));
    t.log("frames", await ws.take(2));
  },
  upgrade: async (t) => {
    const session = await t.polling({ query, join: true });
    const ws = await session.upgrade();
    ws.text(event("binary"));
    t.log("frames", await ws.take(2));
  },
};

export const run = (t, how) => how(t);
