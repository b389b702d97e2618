// An upgrade request that says `transport=polling`.
import { event } from "../../lib/tools.mjs";

export async function run(t) {
  const ws = await t.websocket(t.url());
  t.log("without a sid", ws.response);
  if (ws.response?.status === 101) t.log("WebSocket", await ws.rest());
  const session = await t.polling({ join: true });
  const other = await t.websocket(session.path);
  t.log("with a sid", other.response);
  if (other.response?.status === 101) t.log("WebSocket", await other.rest());
  await session.post(event("echo", "still here"));
  t.log("GET", await session.collect(1));
}
