// Requests that name a session but do not fit it; the session itself is not affected.
import { event } from "../../lib/tools.mjs";

export const table = {
  "websocket transport without an upgrade": { query: { transport: "websocket" } },
  "unknown transport": { query: { transport: "pigeon" } },
  "other protocol revision": { query: { EIO: "3" } },
  "no protocol revision": { query: { EIO: undefined } },
  "sid of another case": { query: {}, sid: (sid) => sid.toUpperCase() + "x" },
  "sid with something added": { query: {}, sid: (sid) => sid + "x" },
};

export async function run(t, { query, sid = (same) => same }) {
  const session = await t.polling({ join: true });
  await session.post(event("echo", "waiting"));
  const response = await t.http("GET", t.url({ sid: sid(session.sid), ...query }));
  t.log("GET", { ...response, body: response.body.replaceAll(session.sid, "<sid 1>") });
  t.log("POST", await session.post(event("echo", "still here")));
  t.log("GETs", await session.collect(2));
}

export function app(io, log) {
  io.engine.on("connection_error", ({ code, message, context }) => {
    log("connection_error", { code, message, context: { ...context, sid: context.sid && "<sid>" } });
  });
  io.on("connection", (socket) => socket.on("echo", (...args) => socket.emit("echo", ...args)));
}
