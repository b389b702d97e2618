// A second WebSocket while the first one probes, or after it has upgraded, is closed at once; the first goes on.
import { event } from "../../lib/tools.mjs";

export const table = { "while the first probes": false, "after the first has upgraded": true };

export async function run(t, upgraded) {
  const session = await t.polling({ join: true });
  const first = await session.websocket();
  t.log("probe", await first.text("2probe").next());
  if (upgraded) t.log("echo", await first.text("5").text(event("echo", 1)).next());
  const second = await session.websocket();
  t.log("answer", second.response);
  t.log("second", await second.text("2probe").rest());
  if (!upgraded) first.text("5");
  t.log("echo", await first.text(event("echo", 2)).next());
}
