// What the app says in one turn leaves in one answer, in order; what it says in two turns, too, while no poll is held.
export function app(io) {
  io.on("connection", (socket) => {
    socket.on("burst", (count, ack) => {
      for (let n = 1; n <= count; n++) socket.emit("n", n);
      ack("done");
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

export async function run(t) {
  const session = await t.polling({ join: true });
  for (const message of ['421["burst",5]', '42["mixed"]']) {
    const poll = await session.hold();
    t.log("POST", await session.post(message));
    t.log("GET", await poll.answer);
  }
  await session.post('42["two turns"]');
  await t.pause(50); // both turns are over
  t.log("GET", await session.get());
}
