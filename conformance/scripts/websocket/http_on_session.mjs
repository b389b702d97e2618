// Polling requests and a second WebSocket that name a session that already uses a WebSocket.
import { event } from "../../lib/tools.mjs";

export async function run(t) {
  const ws = await t.direct({ join: true });
  const { sid } = ws.open;
  t.log("GET", await t.http("GET", t.url({ sid })));
  t.log("POST", await t.http("POST", t.url({ sid }), { body: event("a", 1) }));
  t.log("echo", await ws.text(event("echo", 1)).next());
}
