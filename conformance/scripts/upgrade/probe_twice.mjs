// A second probe on the same WebSocket is answered like the first.
import { event } from "../../lib/tools.mjs";

export async function run(t) {
  const session = await t.polling({ join: true });
  const ws = await session.websocket();
  t.log("probe", await ws.text("2probe").next());
  t.log("probe", await ws.text("2probe").next());
  t.log("echo", await ws.text("5").text(event("echo", 1)).next());
}
