// Broadcasts of `io`: to all, rooms, unions without duplicates, exceptions, and every flag.
const three = async (t) => {
  const clients = [await t.connect("a"), await t.connect("b"), await t.connect("c")];
  await clients[0].ask("join", ["red", "round"]);
  await clients[1].ask("join", "red");
  await clients[2].ask("join", ["blue", "round"]);
  return clients;
};

/** One broadcast to three clients: `say(io)`. */
const broadcast = (proves, say) => ({
  proves,
  app: (io) => ({ say: () => void say(io) }),
  async run(t) {
    await three(t);
    await t.tell("say");
    await t.settle();
  },
});

export const cases = {
  emit: broadcast(["Server#emit", "Namespace#emit"], (io) => io.emit("news", 1, "two", { three: [3] })),
  "emit, binary": broadcast(["Server#emit"], (io) =>
    io.emit("news", Buffer.from([1, 2, 3]), { inner: [Buffer.from("x")] }),
  ),
  "emit, no arguments": broadcast(["Server#emit"], (io) => io.emit("news")),
  "emit, null and undefined": broadcast(["Server#emit"], (io) => io.emit("news", null, undefined, [undefined])),
  "emit, large": broadcast(["Server#emit"], (io) => io.emit("news", "ä".repeat(70_000).length, "ä".repeat(70_000))),
  send: broadcast(["Server#send", "Namespace#send"], (io) => io.send("hello", 2)),
  write: broadcast(["Server#write", "Namespace#write"], (io) => io.write("hello")),
  to: broadcast(["Server#to", "Namespace#to"], (io) => io.to("red").emit("news")),
  "to, room list": broadcast(["Server#to"], (io) => io.to(["red", "blue"]).emit("news")),
  "to, union": broadcast(["Server#to", "BroadcastOperator#to"], (io) =>
    io.to("red").to("round").emit("news", "once each"),
  ),
  "to, nobody there": broadcast(["Server#to"], (io) => io.to("nowhere").emit("news")),
  in: broadcast(["Server#in", "Namespace#in", "BroadcastOperator#in"], (io) => io.in("round").in("blue").emit("news")),
  except: broadcast(["Server#except", "Namespace#except"], (io) => io.except("round").emit("news")),
  "except, list": broadcast(["Server#except"], (io) => io.except(["round", "blue"]).emit("news")),
  "to and except": broadcast(["BroadcastOperator#except"], (io) => io.to("red").except("round").emit("news")),
  "except and to": broadcast(["Server#except", "BroadcastOperator#to"], (io) =>
    io.except("round").to("red").emit("news"),
  ),
  compress: broadcast(["Server#compress", "BroadcastOperator#compress"], (io) => {
    io.compress(true).emit("news", 1);
    io.to("red").compress(false).emit("news", 2);
  }),
  volatile: broadcast(["Server#volatile", "BroadcastOperator#volatile"], (io) => io.to("red").volatile.emit("news")),
  "operators do not change each other": broadcast(["BroadcastOperator#to", "BroadcastOperator#except"], (io) => {
    const red = io.to("red");
    const rest = red.except("round");
    const both = red.to("blue");
    for (const [name, operator] of Object.entries({ red, rest, both })) operator.emit("news", name);
  }),
  "many in one turn, in order": broadcast(["Server#emit", "Server#to"], (io) => {
    for (let i = 0; i < 50; i++) io.to(i % 2 ? "red" : "round").emit("news", i);
  }),
  "room names that are not strings": {
    proves: ["Server#to", "Socket#join"],
    app(io) {
      io.on("connection", (socket) => void socket.join([7, "7b"]));
      return { say: () => (io.to(7).emit("news", "number"), io.to("7b").emit("news", "text")) && undefined };
    },
    async run(t) {
      await t.connect("a");
      await t.tell("say");
      await t.settle();
    },
  },
  "the id of a socket is a room": {
    proves: ["Server#to", "Socket#id"],
    app: (io) => ({ say: (id) => void io.to(id).emit("news") }),
    async run(t) {
      const [, b] = await three(t);
      await t.tell("say", b.id);
      await t.settle();
    },
  },
  local: {
    proves: ["Server#local", "Namespace#local", "BroadcastOperator#local"],
    single: "local is about one app server",
    app: (io) => ({ say: () => void (io.local.emit("news", 1), io.to("red").local.emit("news", 2)) }),
    async run(t) {
      await three(t);
      await t.tell("say");
      await t.settle();
    },
  },
  "reserved event names": {
    proves: ["Server#emit"],
    app: (io) => ({
      say: () =>
        ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"].map((name) => {
          try {
            return io.to("red").emit(name);
          } catch (error) {
            return error.message;
          }
        }),
    }),
    async run(t) {
      await three(t);
      t.log("said", await t.tell("say"));
      await t.settle();
    },
  },
};
