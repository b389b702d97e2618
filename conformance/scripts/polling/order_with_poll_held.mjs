// With a poll held, the packets of one turn may leave in one answer or in two; none is lost and the order is kept.
export function app(io) {
  io.on("connection", (socket) => {
    socket.on("burst", (count, ack) => {
      for (let n = 1; n <= count; n++) socket.emit("n", n);
      ack("done");
    });
  });
}

export async function run(t) {
  const session = await t.polling({ join: true });
  for (let round = 0; round < 5; round++) {
    const poll = await session.hold();
    await session.post('421["burst",5]');
    const packets = (await poll.answer).body.split("\x1e");
    packets.push(...(await session.collect(6 - packets.length)));
    t.log(`round ${round}`, packets.join(" "));
  }
}
