// Operations of one app server on sockets of another.
const two = async (t) => {
  const a = await t.connect("a");
  const b = await t.connect("b");
  for (const client of [a, b]) await client.ask("join", ["red"]);
  return { a, b, first: await t.where(a), second: await t.where(b) };
};

export const cases = {
  "broadcasts with flags": {
    proves: ["Server#to", "Server#except"],
    pair: true,
    app: (io) => ({
      say(id) {
        io.emit("all");
        io.to("red").emit("red");
        io.to("red").except(id).emit("red except");
      },
    }),
    async run(t) {
      const { a, b, first } = await two(t);
      await t.tellAt(first, "say", a.id);
      await t.settle();
      t.log("ids differ", a.id !== b.id);
    },
  },
  local: {
    proves: ["Server#local", "BroadcastOperator#local"],
    pair: true,
    app: (io) => ({ say: () => void (io.local.emit("news", 1), io.to("red").local.emit("news", 2)) }),
    async run(t) {
      const { first } = await two(t);
      await t.tellAt(first, "say");
      await t.settle();
    },
  },
  "socket.broadcast crosses over": {
    proves: ["Socket#broadcast", "Socket#to"],
    pair: true,
    app(io) {
      io.on("connection", (socket) =>
        socket.on("tell", (done) => {
          socket.broadcast.emit("others");
          socket.to("red").emit("others in red");
          socket.local.emit("here only");
          done();
        }),
      );
    },
    async run(t) {
      const { a } = await two(t);
      await a.ask("tell");
      await t.settle();
    },
  },
  "acknowledgements of everybody": {
    proves: ["Server#timeout", "BroadcastOperator#emitWithAck"],
    pair: true,
    app: (io) => ({ ask: async () => (await io.timeout(2000).emitWithAck("ask", 1)).sort() }),
    async run(t) {
      const { a, b, first, second } = await two(t);
      for (const client of [a, b]) client.answer("ask", (number) => client.who + number);
      for (const index of [first, second]) t.log("answers", await t.tellAt(index, "ask"));
    },
  },
  "acknowledgements, one is mute": {
    proves: ["Server#timeout"],
    pair: true,
    app: (io) => ({
      ask: () =>
        io
          .timeout(1000)
          .emitWithAck("ask", 1)
          .catch((error) => [error.message, error.responses]),
    }),
    async run(t) {
      const { b, first } = await two(t);
      b.answer("ask", () => "b");
      t.log("answers", await t.tellAt(first, "ask"));
    },
  },
  fetchSockets: {
    proves: ["Server#fetchSockets", "BroadcastOperator#fetchSockets"],
    pair: true,
    app: (io) => ({
      count: async () => [
        (await io.fetchSockets()).length,
        (await io.in("red").fetchSockets()).length,
        (await io.local.fetchSockets()).length,
      ],
    }),
    async run(t) {
      const { first, second } = await two(t);
      for (const index of [first, second]) await t.eventually("counts", () => t.tellAt(index, "count"), [2, 2, 1]);
    },
  },
  "socketsJoin, socketsLeave": {
    proves: ["Server#socketsJoin", "Server#socketsLeave"],
    pair: true,
    app: (io) => ({ move: () => void (io.socketsJoin("green"), io.in("green").socketsLeave("red")) }),
    async run(t) {
      const { a, b, first } = await two(t);
      await t.tellAt(first, "move");
      for (const client of [a, b]) {
        await t.eventually(client.who, async () => (await client.ask("rooms")).filter((room) => room !== client.id), [
          "green",
        ]);
      }
    },
  },
  disconnectSockets: {
    proves: ["Server#disconnectSockets"],
    pair: true,
    app: (io) => ({ act: () => void io.disconnectSockets(true) }),
    async run(t) {
      const { a, b, first } = await two(t);
      await t.tellAt(first, "act");
      await Promise.all([a.until("disconnect"), b.until("disconnect")]);
      await Promise.all([t.saw("disconnect", { who: "a" }), t.saw("disconnect", { who: "b" })]);
    },
  },
  serverCount: {
    proves: ["Adapter#serverCount"],
    pair: true,
    app: (io) => ({ count: () => io.of("/").adapter.serverCount() }),
    async run(t) {
      const { first, second } = await two(t);
      for (const index of [first, second]) await t.eventually("servers", () => t.tellAt(index, "count"), 2);
    },
  },
};
