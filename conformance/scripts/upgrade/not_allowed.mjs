// `allowUpgrades: false` removes the offer from the open packet; the effect of an upgrade that comes anyway.
import { event } from "../../lib/tools.mjs";

export const options = { allowUpgrades: false };

export async function run(t) {
  const session = await t.polling({ join: true });
  const ws = await session.websocket();
  t.log("probe", await ws.text("2probe").next());
  t.log("echo", await ws.text("5").text(event("echo", 1)).next());
}
