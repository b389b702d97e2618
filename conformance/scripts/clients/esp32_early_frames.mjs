// Clients on small devices send their first frames in the same TCP packet as the handshake, before its answer.
import { event } from "../../lib/tools.mjs";

const frames = (...payloads) => payloads.map((payload) => ({ payload }));

export const table = {
  "the connect packet": async (t) => {
    const ws = await t.direct({ early: frames("40") });
    await t.pause(100); // npm reads it before a listener exists
    t.log("answered", ws.inbox.length > 0);
  },
  "a probe": async (t) => {
    const session = await t.polling({ join: true });
    const path = session.path.replace("transport=polling", "transport=websocket");
    const ws = await t.websocket(path, {}, frames("2probe"));
    t.log("probe", await ws.next());
    t.log("echo", await ws.text("5").text(event("echo", 1)).next());
  },
};

export const run = (t, how) => how(t);
