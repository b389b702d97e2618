// A second WebSocket for a session that began with one: it may try an upgrade; meanwhile the session stays on the first
// transport.
import { event } from "../../lib/tools.mjs";

export async function run(t) {
  const ws = await t.direct({ join: true });
  const second = await t.websocket(t.url({ transport: "websocket", sid: ws.open.sid }));
  t.log("answer", second.response);
  second.text("2probe");
  t.log("probe", await second.next());
  t.log("first", await ws.text(event("echo", 1)).next());
  second.destroy();
  t.log("first", await ws.text(event("echo", 2)).next());
}
