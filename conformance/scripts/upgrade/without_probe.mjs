// The upgrade packet without a probe before it.
import { event } from "../../lib/tools.mjs";

export async function run(t) {
  const session = await t.polling({ join: true });
  const ws = await session.websocket();
  ws.text("5");
  t.log("echo", await ws.text(event("echo", 1)).next());
}
