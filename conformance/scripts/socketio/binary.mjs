// Binary from the app: placeholders, order and number of attachments, over both transports.
export const table = {
  one: [Buffer.from([1])],
  nested: [{ a: { b: [Buffer.from([1]), "x", Buffer.from([2])] } }],
  twelve: Array.from({ length: 12 }, (_, n) => Buffer.from([n])),
  "empty buffer": [Buffer.alloc(0)],
  "typed array": [new Uint8Array([1, 2, 3])],
  "part of a larger buffer": [new Uint8Array(new Uint8Array([0, 1, 2, 3, 4]).buffer, 1, 3)],
  "bytes that look like text": [Buffer.from("4hello")],
  "with text around": ["before", Buffer.from([255]), "after"],
};

export function app(io, log, args) {
  io.on("connection", (socket) => socket.on("send", () => socket.emit("bytes", ...args)));
}

export async function run(t) {
  const ws = await t.direct({ join: true });
  const header = await ws.text('42["send"]').next();
  t.log("header", header);
  const attachments = Number(/^text 45(\d+)-/.exec(header)[1]);
  t.log("attachments", await ws.take(attachments));
  const session = await t.polling({ join: true });
  await session.post('42["send"]');
  t.log("polling", await session.collect(1 + attachments));
}
