// Messages during the probe, both ways: none is lost or reordered.
import { event } from "../../lib/tools.mjs";

export const table = {
  "server to client, a poll comes for it": async (t, session, ws) => {
    await session.post(event("echo", "during"));
    await t.saw("event");
    t.log("GET", await session.collect(1));
    ws.text("5");
    t.log("echo", await ws.text(event("echo", "after")).next());
  },
  "server to client, no poll comes": async (t, session, ws) => {
    await session.post(event("echo", "during"));
    await t.saw("event");
    await t.pause(30); // until the answer has reached the transport
    ws.text("5").text(event("echo", "after"));
    t.log("WebSocket", await ws.take(2));
  },
  "client to server": async (t, session, ws) => {
    await session.post(event("a", 1));
    await session.post(event("a", 2));
    ws.text("5").text(event("a", 3)).text(event("echo", 4));
    t.log("WebSocket", await ws.next());
  },
};

export async function run(t, during) {
  const session = await t.polling({ join: true });
  const ws = await session.websocket();
  t.log("probe", await ws.text("2probe").next());
  await during(t, session, ws);
}
