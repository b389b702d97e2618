// A message instead of the pong gives one more timeout, once per ping; then the session ends although messages
// continue.
import { event } from "../../lib/tools.mjs";

export const options = { pingInterval: 200, pingTimeout: 400 };

export async function run(t) {
  const ws = await t.direct({ join: true });
  t.log("server", await ws.next());
  const pingedAt = performance.now();
  let echoes = 0;
  for (let line = "text 42"; line.startsWith("text 42"); echoes++) {
    if (performance.now() - pingedAt > 2000) throw new Error("the session lives on without a pong");
    await t.pause(250);
    ws.text(event("echo", "m"));
    line = await ws.next();
    if (!line.startsWith("text 42")) t.log("server", line);
  }
  const heldMs = performance.now() - pingedAt;
  t.log("outlived one timeout", heldMs > 450);
  t.log("ended before the third", heldMs < 1200 && echoes < 5);
  await t.saw("close");
}

export function app(io, log) {
  io.engine.on("connection", (conn) => conn.on("close", (reason) => log("close", reason)));
  io.on("connection", (socket) => socket.on("echo", (...args) => socket.emit("echo", ...args)));
}
