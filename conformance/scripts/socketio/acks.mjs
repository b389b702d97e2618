// Acknowledgements of the client's events.
export const table = {
  "with id 0": '420["ask",1]',
  "with a large id": '42123456789["ask",1,"b"]',
  "without arguments": '425["ask"]',
  "binary in the answer": '426["bytes"]',
  "of a binary event": ['451-7["ask",{"_placeholder":true,"num":0}]', Buffer.from([9, 8])],
  "twice by the app": '428["twice"]',
  "later": '429["later"]',
  "two out of order": ['421["later"]', '422["ask",2]'],
};

export function app(io) {
  io.on("connection", (socket) => {
    socket.on("ask", (...args) => args.pop()(...args));
    socket.on("bytes", (ack) => ack(Buffer.from([1, 2]), { deep: Buffer.from([3]) }));
    socket.on("twice", (ack) => (ack(1), ack(2), socket.emit("end")));
    socket.on("later", (ack) => setTimeout(ack, 30, "late"));
  });
}

export async function run(t, packets) {
  const ws = await t.direct({ join: true });
  for (const packet of [].concat(packets)) typeof packet === "string" ? ws.text(packet) : ws.binary(packet);
  const count = { "426[\"bytes\"]": 3, "428[\"twice\"]": 2 }[packets] ?? (Array.isArray(packets) ? 2 : 1);
  for (const line of await ws.take(count)) t.log("server", line);
}
