// In protocol 4 the server pings. A ping from the client ends the session.
import { event } from "../../lib/tools.mjs";

export const table = { ping: "2", "ping with data": "2hello", "probe ping": "2probe" };

export async function run(t, packet) {
  const ws = await t.direct({ join: true });
  ws.text(packet).text(event("echo", 1));
  t.log("server", await ws.rest());
  await t.saw("close");
}
