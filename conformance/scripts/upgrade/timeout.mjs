// An upgrade that is not finished within `upgradeTimeout` loses its WebSocket; the session keeps polling.
import { event } from "../../lib/tools.mjs";

export const options = { upgradeTimeout: 200 };
export const table = { "after the probe": true, "nothing was ever said": false };

export async function run(t, probe) {
  const session = await t.polling({ join: true });
  const ws = await session.websocket();
  if (probe) t.log("probe", await ws.text("2probe").next());
  t.log("WebSocket", await ws.rest());
  t.log("POST", await session.post(event("echo", "still here")));
  t.log("GET", await session.collect(1));
  const again = await session.upgrade();
  t.log("second try", await again.text(event("echo", 2)).next());
}
