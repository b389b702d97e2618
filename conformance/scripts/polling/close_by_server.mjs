// The app ends a polling session. Its earlier messages are delivered in an answer of their own, then noop and close.
import { watchSocket } from "../../app.mjs";

const RS = "\x1e";

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
  await t.saw("event");
  await t.pause(30); // until the close has reached the transport that answers the next poll
  const answers = poll ? [await poll.answer] : [];
  while (answers.at(-1)?.status !== 400) answers.push(await session.get());
  const bodies = answers.map((response) => response.body);
  t.log("said before", bodies.slice(0, -2).join(RS)); // in one answer; with a poll held, in two
  for (const response of answers.slice(-2)) t.log("GET", response);
}
