// The app ends a polling session. What it said before is delivered in an answer of its own, then noop and close.
import { watchSocket } from "../../app.mjs";

export function app(io, log) {
  io.on("connection", (socket) => {
    watchSocket(socket, log);
    socket.on("bye", () => socket.disconnect(true));
    socket.on("talk and bye", () => {
      socket.emit("last", 1);
      socket.emit("last", 2);
      socket.disconnect(true);
    });
    socket.on("drop", () => socket.conn.close());
  });
}

const events = ["bye", "talk and bye", "drop"];
export const table = Object.fromEntries(
  events.flatMap((name) => [
    [`${name}, poll held`, { name, held: true }],
    [`${name}, no poll held`, { name, held: false }],
  ]),
);

export async function run(t, { name, held }) {
  const session = await t.polling({ join: true });
  const poll = held ? await session.hold() : undefined;
  t.log("POST", await session.post(`42["${name}"]`));
  if (poll) t.log("held GET", await poll.answer);
  for (const nth of ["first", "second", "third"]) {
    const response = await session.get();
    t.log(`${nth} GET`, response);
    if (response?.status !== 200) break;
  }
}
