// WebSocket pings are answered by pongs with the same data; unsolicited pongs have no effect.
import { OPCODE } from "../../../testing/frames.mjs";
import { event } from "../../lib/tools.mjs";

export const table = {
  ping: [{ opcode: OPCODE.ping, payload: "" }],
  "ping with data": [{ opcode: OPCODE.ping, payload: "hello" }],
  "ping with 125 bytes": [{ opcode: OPCODE.ping, payload: "p".repeat(125) }],
  "three pings": ["a", "b", "c"].map((payload) => ({ opcode: OPCODE.ping, payload })),
  "stray pong": [{ opcode: OPCODE.pong, payload: "x" }],
};

export async function run(t, frames) {
  const ws = await t.direct({ join: true });
  for (const frame of frames) ws.frame(frame);
  for (const { opcode } of frames) if (opcode === OPCODE.ping) t.log("server", await ws.next());
  t.log("server", await ws.text(event("echo", "still here")).next());
}
