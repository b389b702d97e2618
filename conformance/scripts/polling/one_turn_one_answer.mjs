// Messages that the app sends while no poll is held leave in one answer, in order, whether they were sent in one turn
// or in two.
import { watchSocket } from "../../app.mjs";

export function app(io, log) {
  io.on("connection", (socket) => {
    watchSocket(socket, log);
    socket.on("burst", () => {
      for (let n = 1; n <= 5; n++) socket.emit("n", n);
    });
    socket.on("mixed", () => {
      socket.emit("text", 1);
      socket.emit("bytes", Buffer.from([1, 2, 3]), { deep: [Buffer.from([4])] });
      socket.emit("text", 2);
    });
    socket.on("two turns", () => {
      socket.emit("turn", 1);
      setImmediate(() => socket.emit("turn", 2));
    });
  });
}

export const table = { burst: "burst", "text and bytes": "mixed", "two turns": "two turns" };

export async function run(t, name) {
  const session = await t.polling({ join: true });
  await session.post(`42["${name}"]`);
  await t.saw("event");
  await t.pause(50); // both turns are over
  t.log("GET", await session.get());
}
