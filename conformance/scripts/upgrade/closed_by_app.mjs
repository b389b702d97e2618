// The app disconnects the client while a WebSocket probes.
import { watchSocket } from "../../app.mjs";

export function app(io, log) {
  io.on("connection", (socket) => watchSocket(socket, log));
  return { kick: () => io.disconnectSockets(true) };
}

export async function run(t) {
  const session = await t.polling({ join: true });
  const ws = await session.websocket();
  t.log("probe", await ws.text("2probe").next());
  await t.tell("kick");
  await t.saw("disconnect");
  await t.pause(30); // until the close has reached the transport that answers the next poll
  t.log("first GET", (await session.get()).body);
  t.log("second GET", (await session.get()).body);
  t.log("WebSocket", await ws.rest());
}
