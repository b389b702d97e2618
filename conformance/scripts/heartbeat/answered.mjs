// The server pings, the client answers, the session lives on: more rounds than one interval and timeout would last.
import { event } from "../../lib/tools.mjs";

export const options = { pingInterval: 150, pingTimeout: 500 };
export const table = { websocket: "direct", polling: "polling" };

export async function run(t, how) {
  const session = await t[how]({ join: true });
  for (let round = 1; round <= 6; round++) {
    t.log("server", how === "direct" ? await session.next() : await session.get());
    if (how === "direct") session.text("3");
    else t.log("pong", await session.post("3"));
  }
  if (how === "direct") t.log("echo", await session.text(event("echo", 1)).next());
  else {
    await session.post(event("echo", 1));
    t.log("echo", await session.get());
  }
}
