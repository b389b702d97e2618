// Acknowledgements of the client's events.
export const table = {
  "with id 0": { say: ['420["ask",1]'] },
  "with a large id": { say: ['42123456789["ask",1,"b"]'] },
  "without arguments": { say: ['425["ask"]'] },
  "binary in the answer": { say: ['426["bytes"]'], answers: 3 },
  "of a binary event": { say: ['451-7["ask",{"_placeholder":true,"num":0}]', Buffer.from([9, 8])], answers: 2 },
  "twice by the app": { say: ['428["twice"]'], answers: 2 },
  later: { say: ['429["later"]'] },
  "two out of order": { say: ['421["later"]', '422["ask",2]'], answers: 2 },
};

export function app(io) {
  io.on("connection", (socket) => {
    socket.on("ask", (...args) => args.pop()(...args));
    socket.on("bytes", (ack) => ack(Buffer.from([1, 2]), { deep: Buffer.from([3]) }));
    socket.on("twice", (ack) => (ack(1), ack(2), socket.emit("end")));
    socket.on("later", (ack) => setTimeout(ack, 30, "late"));
  });
}

export async function run(t, { say, answers = 1 }) {
  const ws = await t.direct({ join: true });
  for (const packet of say) typeof packet === "string" ? ws.text(packet) : ws.binary(packet);
  for (const line of await ws.take(answers)) t.log("server", line);
}
