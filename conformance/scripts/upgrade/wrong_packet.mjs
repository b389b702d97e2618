// A WebSocket that sends something other than the probe is closed; the session keeps its transport.
import { event } from "../../lib/tools.mjs";

export const table = {
  "a message": (ws) => ws.text(event("a", 1)),
  "a ping without probe": (ws) => ws.text("2"),
  "a ping with other data": (ws) => ws.text("2other"),
  "a pong": (ws) => ws.text("3probe"),
  "a close packet": (ws) => ws.text("1"),
  "a noop": (ws) => ws.text("6"),
  "not a packet": (ws) => ws.text("x"),
  "an empty frame": (ws) => ws.text(""),
  binary: (ws) => ws.binary(Buffer.from("2probe")),
  "an unmasked frame": (ws) => ws.frame({ payload: "2probe", mask: false }),
  "a message after the probe": (ws) => ws.text("2probe").text(event("a", 1)),
};

export async function run(t, say) {
  const session = await t.polling({ join: true });
  const ws = await session.websocket();
  say(ws);
  t.log("WebSocket", await ws.rest());
  t.log("POST", await session.post(event("echo", "still here")));
  t.log("GET", await session.collect(1));
}
