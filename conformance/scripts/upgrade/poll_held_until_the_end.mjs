// The upgrade packet comes right after the probe, with a poll still held.
import { event } from "../../lib/tools.mjs";

export async function run(t) {
  const session = await t.polling({ join: true });
  const poll = await session.hold();
  const ws = await session.websocket();
  t.log("probe", await ws.text("2probe").next());
  ws.text("5");
  t.log("held GET", await poll.answer);
  t.log("echo", await ws.text(event("echo", 1)).next());
}
