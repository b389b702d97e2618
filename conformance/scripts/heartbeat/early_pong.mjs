// A pong before any ping does no harm, and does not stand for the next one.
import { event } from "../../lib/tools.mjs";

export const options = { pingInterval: 300, pingTimeout: 150 };

export async function run(t) {
  const ws = await t.direct({ join: true });
  t.log("echo", await ws.text("3").text(event("echo", 1)).next());
  t.log("server", await ws.rest());
  await t.saw("close");
}
