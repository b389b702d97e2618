// Upgrade requests for an open session that are refused before the WebSocket is open.
import { event } from "../../lib/tools.mjs";

export const table = {
  "other protocol revision": { EIO: "3" },
  "unknown transport": { transport: "pigeon" },
  "no transport": { transport: undefined },
};

export async function run(t, query) {
  const session = await t.polling({ join: true });
  const ws = await t.websocket(t.url({ transport: "websocket", sid: session.sid, ...query }));
  t.log("answer", ws.response);
  await session.post(event("echo", "still here"));
  t.log("GET", await session.collect(1));
}
