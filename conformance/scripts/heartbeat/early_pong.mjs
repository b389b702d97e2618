// A pong before any ping has no effect, and does not count for the next ping.
import { event } from "../../lib/tools.mjs";

export const options = { pingInterval: 300, pingTimeout: 150 };

export async function run(t) {
  const ws = await t.direct({ join: true });
  t.log("echo", await ws.text("3").text(event("echo", 1)).next());
  t.log("server", await ws.rest());
  await t.saw("close");
}
