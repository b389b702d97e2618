// Several namespaces over one session: packets, ids and the end of one do not affect the other.
import { watchSocket } from "../../app.mjs";

export function app(io, log) {
  for (const name of ["/", "/admin"]) io.of(name).on("connection", (socket) => watchSocket(socket, log));
}

export async function run(t) {
  const ws = await t.direct();
  t.log("connect", await ws.text("40").next());
  t.log("connect", await ws.text("40/admin,").next());
  t.log("event", await ws.text('42["echo",1]').next());
  t.log("event", await ws.text('42/admin,["echo",2]').next());
  t.log("ack", await ws.text('42/admin,12["ask",3]').next());
  ws.text("41/admin,");
  await t.saw("disconnect");
  t.log("event", await ws.text('42["echo",4]').next());
  t.log("connect again", await ws.text("40/admin,").next());
  t.log("event", await ws.text('42/admin,["echo",5]').next());
}
