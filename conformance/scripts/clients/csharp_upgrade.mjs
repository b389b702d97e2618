// C# and Unity clients send the upgrade packet at once, without a probe, and keep polling until the WebSocket sends
// something.
import { event } from "../../lib/tools.mjs";

export const table = {
  "no poll is held": async () => undefined,
  "a poll is held": (session) => session.hold(),
};

export async function run(t, poll) {
  const session = await t.polling({ join: true });
  const held = await poll(session);
  const ws = await session.websocket();
  ws.text("5").text(event("echo", 1));
  t.log("first", await ws.next());
  ws.text(event("echo", 2));
  t.log("next", await ws.next());
  if (held) {
    held.stream.destroy();
    await held.answer;
  }
}
