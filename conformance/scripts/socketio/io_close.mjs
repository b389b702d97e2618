// `io.close()`: what each client sees, and the reason that the app sees.
import { watchSocket } from "../../app.mjs";

export const single = "closing is about one process";

export function app(io, log) {
  io.engine.on("connection", (conn) => conn.on("close", (reason) => log("close", reason)));
  io.on("connection", (socket) => watchSocket(socket, log));
  io.of("/admin").on("connection", (socket) => watchSocket(socket, log));
  return { close: () => void io.close(), talkAndClose: () => (io.emit("last", 1), void io.close()) };
}

export const table = {
  websocket: ["direct", "close"],
  "websocket, said something before": ["direct", "talkAndClose"],
  "websocket, two namespaces": ["direct", "close", "40/admin,"],
  "polling, poll held": ["polling", "close"],
  "polling, said something before": ["polling", "talkAndClose"],
};

export async function run(t, [how, action, more]) {
  const session = await t[how]({ join: true });
  if (more) await session.text(more).next();
  const poll = how === "polling" ? await session.hold() : undefined;
  await t.tell(action);
  if (poll) t.log("held GET", (await poll.answer)?.body ?? "no answer");
  else t.log("server", await session.rest());
  await t.saw("disconnect");
}
