// The properties of a namespace.
export const cases = {
  "name, sockets, adapter": {
    proves: ["Namespace#name", "Namespace#sockets", "Namespace#adapter"],
    single: "these read the state of one process",
    app(io, log) {
      const chat = io.of("/chat");
      chat.on("connection", (socket) => {
        socket.join("red");
        log("inside", [chat.sockets.get(socket.id) === socket, chat.sockets.size, chat.adapter.nsp === chat], "a");
        socket.on("disconnecting", () => log("disconnecting", chat.sockets.size, "a"));
        socket.on("disconnect", () => log("after", chat.sockets.size, "a"));
      });
      return {
        look: () => [chat.name, chat.sockets.size, chat.adapter.rooms.get("red")?.size, io.of("/").sockets.size],
      };
    },
    async run(t) {
      t.log("empty", await t.tell("look"));
      const a = await t.connect("a", { nsp: "/chat" });
      t.log("one", await t.tell("look"));
      a.socket.disconnect();
      await t.saw("after");
      t.log("gone", await t.tell("look"));
    },
  },
  "middlewares of two namespaces": {
    proves: ["Namespace#use"],
    app(io, log) {
      for (const name of ["/a", "/b"])
        io.of(name).use(
          (socket, next) => (log("use", [name, socket.nsp.name], socket.handshake.headers["x-who"]), next()),
        );
    },
    async run(t) {
      const a = await t.connect("a", { nsp: "/a" });
      await t.connect("b", { nsp: "/b", on: a });
    },
  },
  "a query string in the namespace": {
    proves: ["Socket#handshake.query", "Namespace#name"],
    app(io) {
      io.of("/chat").on("connection", (socket) => socket.emit("query", socket.nsp.name, socket.handshake.query.token));
    },
    async run(t) {
      const a = await t.connect("a", { nsp: "/chat?token=q", query: { token: "engine" } });
      await a.until("query");
    },
  },
  allSockets: {
    proves: ["Namespace#allSockets", "Server#allSockets"],
    app(io) {
      io.of("/chat");
      const count = async (where) => (await where.allSockets()).size;
      return {
        count: async () => [
          await count(io),
          await count(io.of("/chat")),
          await count(io.in("red")),
          await count(io.in("nowhere")),
        ],
      };
    },
    async run(t) {
      const a = await t.connect("a");
      const b = await t.connect("b");
      await t.connect("b chat", { on: b, nsp: "/chat" });
      await a.ask("join", "red");
      await t.eventually("counts", () => t.tell("count"), [2, 1, 1, 0]);
    },
  },
};
