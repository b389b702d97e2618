// Rust clients send an unsolicited pong right after they connect, and again later.
import { event } from "../../lib/tools.mjs";

export const table = {
  "over WebSocket": async (t) => {
    const ws = await t.direct({ join: true });
    ws.text("3").text("3").text(event("echo", 1));
    t.log("echo", await ws.next());
    t.log("echo after another pong", await ws.text("3").text(event("echo", 2)).next());
  },
  "over WebSocket, before the namespace": async (t) => {
    const ws = await t.direct();
    ws.text("3").text("40");
    t.log("connect", await ws.next());
  },
  "with data": async (t) => {
    const ws = await t.direct({ join: true });
    ws.text("3x").text(event("echo", 1));
    t.log("echo", await ws.next());
  },
  "over polling": async (t) => {
    const session = await t.polling({ join: true });
    t.log("POST", (await session.post("3")).status);
    await session.post(event("echo", 1));
    t.log("GET", await session.collect(1));
  },
};

export const run = (t, how) => how(t);
