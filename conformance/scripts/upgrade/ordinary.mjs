// Polling to WebSocket, step by step, with a poll held all the while.
import { event } from "../../lib/tools.mjs";

export async function run(t) {
  const session = await t.polling({ join: true });
  const poll = await session.hold();
  const ws = await session.websocket();
  t.log("answer", ws.response);
  t.log("probe", await ws.text("2probe").next());
  t.log("held GET", await poll.answer);
  ws.text("5");
  t.log("echo", await ws.text(event("echo", 1)).next());
  t.log("GET", await session.get());
  t.log("POST", await session.post(event("a", 1)));
  t.log("echo", await ws.text(event("echo", 2)).next());
}
