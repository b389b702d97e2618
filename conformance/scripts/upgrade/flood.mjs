// The app sends during the whole upgrade: over both transports together each number arrives once and in order.
export function app(io) {
  io.on("connection", (socket) => {
    socket.on("start", async () => {
      for (let n = 1; n <= 300; n++) {
        socket.emit("n", n);
        if (n % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      }
      socket.emit("n", "end");
    });
  });
}

export async function run(t) {
  const session = await t.polling({ join: true });
  await session.post('42["start"]');
  const packets = [];
  const polled = (async () => {
    for (let polls = 0; polls < 5; polls++) packets.push(...(await session.get()).body.split("\x1e"));
  })();
  const ws = await session.websocket();
  const pong = await ws.text("2probe").next();
  await polled;
  ws.text("5");
  while (packets.at(-1) !== '42["n","end"]') packets.push((await ws.next()).slice("text ".length));
  const numbers = packets.filter((packet) => packet !== "6").map((packet) => JSON.parse(packet.slice(2))[1]);
  t.log("pong", pong);
  t.log("in order, each once", numbers.every((n, at) => n === at + 1 || n === "end") && numbers.length === 301);
}
