// The receivers of broadcasts: four clients, rooms, and every way to address them. `a` sends where a client has to.
export const single = "the app finds its sockets in its own process";
export const table = {
  "io.emit": (io) => io.emit("m"),
  "io.to(room)": (io) => io.to("r1").emit("m"),
  "io.to of two rooms, nobody twice": (io) => io.to("r1").to("r2").emit("m"),
  "io.to of a list": (io) => io.to(["r1", "r2"]).emit("m"),
  "io.to an empty room": (io) => io.to("nobody").emit("m"),
  "io.to a socket id": (io, sockets) => io.to(sockets.c.id).emit("m"),
  "io.except": (io) => io.except("r1").emit("m"),
  "io.to.except": (io) => io.to("r1").except("r2").emit("m"),
  "io.in": (io) => io.in("r2").emit("m"),
  "io.local": (io) => io.local.emit("m"),
  "socket.broadcast": (io, { a }) => a.broadcast.emit("m"),
  "socket.to": (io, { a }) => a.to("r1").emit("m"),
  "socket.to of two rooms": (io, { a }) => a.to(["r1", "r2"]).emit("m"),
  "socket.except": (io, { a }) => a.except("r2").emit("m"),
  "socket.broadcast.except": (io, { a }) => a.broadcast.except("r2").emit("m"),
  "socket.emit": (io, { a }) => a.emit("m"),
  "io.send": (io) => io.send("m"),
  binary: (io) => io.to("r2").emit("m", Buffer.from([1]), { deep: Buffer.from([2]) }),
  "other namespace": (io) => io.of("/admin").emit("m"),
  "after join": (io, { d }) => (d.join("r1"), io.to("r1").emit("m")),
  "after leave": (io, { a }) => (a.leave("r1"), io.to("r1").emit("m")),
  "after socketsJoin": (io) => (io.in("r2").socketsJoin("r3"), io.to("r3").emit("m")),
  "after socketsLeave": (io) => (io.in("r2").socketsLeave("r1"), io.to("r1").emit("m")),
  "join, emit, leave, emit in one turn": (io, { d }) => {
    d.join("r9");
    io.to("r9").emit("m", 1);
    d.leave("r9");
    io.to("r9").emit("m", 2);
  },
  "emit around a broadcast": (io, { a }) => (a.emit("m", 1), io.emit("m", 2), a.emit("m", 3)),
  "after disconnect of one": (io, { b }) => (b.disconnect(), io.to("r1").emit("m")),
};

// Rooms. a: r1 · b: r1, r2 · c: r2 (over polling) · d: none
export function app(io, log, act) {
  const sockets = {};
  io.on("connection", (socket) => {
    const { who } = socket.handshake.auth;
    sockets[who] = socket;
    socket.join({ a: ["r1"], b: ["r1", "r2"], c: ["r2"], d: [] }[who]);
    socket.emit("hello", who);
  });
  return {
    act: () => {
      act(io, sockets);
      for (const socket of Object.values(sockets)) if (socket.connected) socket.emit("end");
    },
  };
}

export async function run(t) {
  const clients = {};
  for (const who of ["a", "b", "d"]) {
    const ws = (clients[who] = await t.direct());
    ws.text(`40{"who":"${who}"}`);
    await ws.take(2);
  }
  const c = await t.polling();
  await c.post('40{"who":"c"}');
  await c.collect(2);
  await t.tell("act");
  for (const [who, ws] of Object.entries(clients)) {
    const got = [];
    do got.push(await ws.next());
    while (!got.at(-1).endsWith('42["end"]') && got.at(-1) !== "text 41");
    t.log(who, got);
  }
  const got = [];
  while (got.at(-1) !== '42["end"]') got.push(...(await c.collect(1)));
  t.log("c", got);
}
