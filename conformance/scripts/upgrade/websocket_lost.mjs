// The WebSocket ends before the upgrade packet: the session keeps polling and may try again.
import { event } from "../../lib/tools.mjs";

export const table = {
  "before the probe, close frame": [false, (ws) => ws.close(1000)],
  "before the probe, reset": [false, (ws) => ws.stream.reset()],
  "after the probe, close frame": [true, (ws) => ws.close(1000)],
  "after the probe, end": [true, (ws) => ws.stream.finish()],
};

export async function run(t, [probe, leave]) {
  const session = await t.polling({ join: true });
  const ws = await session.websocket();
  if (probe) t.log("probe", await ws.text("2probe").next());
  leave(ws);
  t.log("WebSocket", await ws.rest());
  await session.post(event("echo", "still here"));
  t.log("GET", await session.collect(1));
  const again = await session.upgrade();
  t.log("second try", await again.text(event("echo", 2)).next());
}
