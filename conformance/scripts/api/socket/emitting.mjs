// Messages that a socket sends, to itself and to others, per transport; and those that it receives.
const said = (proves, say, { client, others = 0 } = {}) => ({
  proves,
  app(io) {
    io.on("connection", (socket) => socket.on("go", (done) => (say(socket, io), done())));
  },
  async run(t) {
    const a = await t.connect("a", client);
    const clients = [a];
    for (const name of ["b", "c"].slice(0, others)) clients.push(await t.connect(name, client));
    for (const one of clients) await one.ask("join", one.who === "c" ? ["blue"] : ["red"]);
    await a.ask("go");
    await t.settle();
  },
});
const cyclicFree = {
  text: "ü€😀",
  number: -1.5,
  big: 2 ** 53,
  none: null,
  yes: true,
  date: new Date(0),
  list: [[], {}],
  empty: "",
};

const onEveryTransport = (name, proves, say, more) =>
  Object.fromEntries(
    [
      ["websocket", ["websocket"]],
      ["polling", ["polling"]],
    ].map(([transport, transports]) => [
      `${name}, ${transport}`,
      said(proves, say, { ...more, client: { transports } }),
    ]),
  );

export const cases = {
  ...onEveryTransport("emit", ["Socket#emit"], (socket) => socket.emit("news", cyclicFree, "two", 3)),
  ...onEveryTransport("emit, binary", ["Socket#emit"], (socket) =>
    socket.emit("news", Buffer.from([0, 255]), { deep: [new Uint8Array([7]).buffer] }, Buffer.alloc(0)),
  ),
  ...onEveryTransport("emit, large binary", ["Socket#emit"], (socket) =>
    socket.emit("news", Buffer.alloc(200_000, 1).subarray(0, 3), Buffer.alloc(70_000).length),
  ),
  ...onEveryTransport("many in one turn", ["Socket#emit"], (socket) => {
    for (let i = 0; i < 100; i++) socket.emit("news", i, i % 10 === 0 ? Buffer.from([i]) : undefined);
  }),
  "send and write": said(["Socket#send", "Socket#write"], (socket) => socket.send("one", 1).write("two")),
  to: said(["Socket#to"], (socket) => socket.to("red").emit("news"), { others: 2 }),
  "to, union": said(["Socket#to"], (socket) => socket.to("red").to("blue").emit("news"), { others: 2 }),
  "to, list": said(["Socket#to"], (socket) => socket.to(["red", "blue"]).emit("news"), { others: 2 }),
  in: said(["Socket#in"], (socket) => socket.in("blue").emit("news"), { others: 2 }),
  except: said(["Socket#except"], (socket) => socket.except("blue").emit("news"), { others: 2 }),
  broadcast: said(["Socket#broadcast"], (socket) => socket.broadcast.emit("news", Buffer.from([1])), { others: 2 }),
  "broadcast with flags": said(
    ["Socket#broadcast", "Socket#volatile", "Socket#compress"],
    (socket) => {
      socket.broadcast.compress(false).emit("news", 1);
      socket.broadcast.to("red").except("blue").emit("news", 2);
    },
    { others: 2 },
  ),
  "volatile to itself": said(["Socket#volatile"], (socket) => socket.volatile.emit("news", 1)),
  compress: said(
    ["Socket#compress"],
    (socket) => (socket.compress(true).emit("news", 1), socket.compress(false).emit("news", 2)),
  ),
  "emit, broadcast, emit: in this order": said(["Socket#emit", "Socket#broadcast"], (socket, io) => {
    socket.emit("news", 1);
    io.emit("news", 2);
    socket.emit("news", 3);
    io.to(socket.id).emit("news", 4);
    socket.nsp.to("red").emit("news", 5);
    socket.emit("news", 6);
  }),
  "join, emit, leave in one turn": said(["Socket#join", "Socket#leave"], (socket, io) => {
    socket.join("green");
    io.to("green").emit("news", "in");
    socket.leave("green");
    io.to("green").emit("news", "out");
    socket.join(["x", "y"]);
    io.to("x").to("y").emit("news", "once");
  }),
  local: {
    ...said(["Socket#local"], (socket) => socket.local.emit("news"), { others: 2 }),
    single: "local is about one app server",
  },
  "what a client sends, in order": {
    proves: ["Socket#on", "Socket#onAny"],
    app(io, log) {
      io.on("connection", (socket) =>
        socket.onAny((name, ...args) =>
          log(
            name,
            args.filter((one) => typeof one !== "function"),
            "a",
          ),
        ),
      );
    },
    async run(t) {
      const a = await t.connect("a");
      for (let i = 0; i < 30; i++) a.emit("count", i, i % 7 === 0 ? Buffer.from([i]) : { i });
      a.socket.send("text");
      await a.ask("rooms");
    },
  },
};
