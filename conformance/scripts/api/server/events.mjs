// Events of `io`: connection, connect, new_namespace.
export const cases = {
  "connection and connect": {
    proves: [
      "Server: event connection",
      "Server: event connect",
      "Namespace: event connection",
      "Namespace: event connect",
    ],
    app(io, log) {
      for (const event of ["connection", "connect"]) {
        io.on(event, (socket) => log(`io ${event}`, socket.nsp.name, socket.handshake.headers["x-who"]));
        io.of("/chat").on(event, (socket) => log(`/chat ${event}`, socket.nsp.name, socket.handshake.headers["x-who"]));
      }
    },
    async run(t) {
      const a = await t.connect("a");
      await t.connect("a chat", { nsp: "/chat", on: a });
      await t.connect("b", { nsp: "/chat" });
    },
  },
  new_namespace: {
    proves: ["Server: event new_namespace"],
    single: "namespaces are made in each process",
    app(io, log) {
      io.on("new_namespace", (nsp) => log("new_namespace", nsp.name));
      io.of("/static");
      io.of("/static");
      io.of(/^\/dynamic-\d$/).on("connection", (socket) => socket.emit("in", socket.nsp.name));
    },
    async run(t) {
      const a = await t.connect("a", { nsp: "/dynamic-1" });
      await t.connect("c", { nsp: "/dynamic-2", on: a });
    },
  },
  "useTrunkline after the listeners": {
    proves: ["Server: event connection"],
    bare: true,
    async server({ trunk, log }) {
      const { createServer } = await import("node:http");
      const { Server } = await import("socket.io");
      const httpServer = createServer();
      const io = new Server(httpServer);
      io.use((_socket, next) => next());
      io.on("connection", (socket) => {
        log("connection", [...socket.rooms].length, "a");
        socket.join("red");
        io.to("red").emit("news");
      });
      trunk(io);
      return { io, httpServer };
    },
    async run(t) {
      const a = await t.connect("a");
      await a.until("news");
      await t.connect("b", { nsp: "/none", wait: false }).then((b) => b.until("connect_error"));
    },
  },
};
