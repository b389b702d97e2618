// The client leaves: the reason that the app sees, and what remains of the session.
import { watchSocket } from "../../app.mjs";

export const table = {
  "disconnect packet": { say: ["41"], again: "40" },
  "disconnect packet with a comma": { say: ["41,"], again: "40" },
  "disconnect from another namespace": { first: "40/admin,", say: ["41/admin,"], again: "40/admin," },
  "event, then disconnect": { say: ['42["a",1]', "41"], again: "40" },
  "disconnect, then event": { say: ["41", '42["a",1]'], again: "40" },
  "disconnect twice": { say: ["41", "41"], again: "40" },
  "disconnect, then event in another message": { say: ["41"], late: '42["a",1]' },
  "disconnect, then disconnect in another message": { say: ["41"], late: "41" },
};

export function app(io, log) {
  for (const name of ["/", "/admin"]) io.of(name).on("connection", (socket) => watchSocket(socket, log));
}

export async function run(t, { first, say, late, again }) {
  const ws = await t.direct({ join: true });
  if (first) t.log("server", await ws.text(first).next());
  ws.together(() => say.forEach((packet) => ws.text(packet)));
  await t.saw("disconnect");
  if (late) t.log("server", await ws.text(late).rest());
  if (again) t.log("connect again", await ws.text(again).next());
}
