// Volatile packets: sent when the client can take them now, otherwise dropped. Always whole packets, with their
// attachments.
export function app(io, log) {
  io.on("connection", (socket) => {
    socket.on("one", () => socket.volatile.emit("v", 1));
    socket.on("binary", () => socket.volatile.emit("v", Buffer.from([1]), Buffer.from([2])));
    socket.on("broadcast", () => io.volatile.emit("v", 2));
    socket.onAny((name) => setImmediate(() => log("said", name)));
    socket.on("end", () => socket.emit("end"));
  });
}

export const table = {
  "websocket, one": ["direct", "one"],
  "websocket, binary": ["direct", "binary"],
  "websocket, broadcast": ["direct", "broadcast"],
  "polling, poll held": ["polling", "one", true],
  "polling, poll held, binary": ["polling", "binary", true],
  "polling, poll held, broadcast": ["polling", "broadcast", true],
  "polling, no poll held": ["polling", "one"],
  "polling, no poll held, binary": ["polling", "binary"],
  "polling, no poll held, broadcast": ["polling", "broadcast"],
};

export async function run(t, [how, event, held]) {
  const session = await t[how]({ join: true });
  if (how === "direct") {
    session.text(`42["${event}"]`).text('42["end"]');
    for (let line = ""; line !== 'text 42["end"]'; ) t.log("server", (line = await session.next()));
    return;
  }
  const poll = held ? await session.hold() : undefined;
  await session.post(`42["${event}"]`);
  await t.saw("said");
  await t.pause(30); // until it has reached the transport that answers the next poll
  const got = poll ? (await poll.answer).body.split("\x1e") : [];
  await session.post('42["end"]');
  while (got.at(-1) !== '42["end"]') got.push(...(await session.collect(1)));
  t.log("polled", got);
}
