// Why sockets end: the reason and the details, on both sides.
const ending = (proves, end, { options, client, app, wait = true } = {}) => ({
  proves: ["Socket: event disconnect", "Socket: event disconnecting", ...proves],
  options,
  app(io, log) {
    io.on("connection", (socket) => {
      const details = (description) => (description?.description ?? description?.message ?? description) !== undefined;
      socket.on("disconnecting", (reason) => log("disconnecting", [reason, [...socket.rooms].length], "a"));
      socket.on("disconnect", (reason, description) => log("disconnect", [reason, details(description)], "a"));
      socket.on("go", () => app?.(socket, io));
    });
    return {};
  },
  async run(t) {
    const a = await t.connect("a", client);
    await a.ask("join", ["red"]);
    await end(a, t);
    await t.saw("disconnect", { count: 2 });
    if (wait) await a.until("disconnect");
  },
});
const polling = { transports: ["polling"] };

export const cases = {
  "client namespace disconnect": ending([], (a) => a.socket.disconnect()),
  "client namespace disconnect, polling": ending([], (a) => a.socket.disconnect(), { client: polling }),
  "server namespace disconnect": ending(["Socket#disconnect"], (a) => a.emit("go"), {
    app: (socket) => socket.disconnect(),
  }),
  "server namespace disconnect, close": ending(["Socket#disconnect"], (a) => a.emit("go"), {
    app: (socket) => socket.disconnect(true),
  }),
  "server namespace disconnect, close, polling": ending(["Socket#disconnect"], (a) => a.emit("go"), {
    app: (socket) => socket.disconnect(true),
    client: polling,
  }),
  "conn.close": ending(["EngineSocket#close"], (a) => a.emit("go"), { app: (socket) => socket.conn.close() }),
  "conn.close, polling": ending(["EngineSocket#close"], (a) => a.emit("go"), {
    app: (socket) => socket.conn.close(),
    client: polling,
  }),
  "transport close": ending([], (a) => a.engine.close()),
  "transport close, no close frame": ending(
    [],
    (a) => a.engine.transport.ws._socket?.destroy() ?? a.engine.transport.ws.terminate?.(),
  ),
  "ping timeout": ending(["option pingTimeout"], (a) => (a.engine.transport.send = () => {}), {
    options: { pingInterval: 400, pingTimeout: 600 },
  }),
  "parse error": ending([], (a) => a.engine.write("9nonsense")),
  "too large": ending(["option maxHttpBufferSize"], (a) => a.emit("big", "x".repeat(5000)), {
    options: { maxHttpBufferSize: 1000 },
  }),
  "words before the end arrive": ending(["Socket#disconnect"], (a) => a.emit("go"), {
    app(socket, io) {
      socket.emit("last", 1);
      io.emit("last", 2);
      socket.disconnect(true);
      socket.emit("too late");
    },
  }),
  "one namespace of two": {
    proves: ["Socket#disconnect", "Socket: event disconnect"],
    app(io, log) {
      io.of("/chat").on("connection", (socket) => {
        socket.on("go", () => socket.disconnect());
        socket.on("disconnect", (reason) => log("chat disconnect", reason, "a"));
      });
      return { say: () => void (io.emit("still here"), io.of("/chat").emit("nobody")) };
    },
    async run(t) {
      const a = await t.connect("a");
      const chat = await t.connect("a chat", { on: a, nsp: "/chat" });
      chat.emit("go");
      await chat.until("disconnect");
      await t.tell("say");
      await a.until("still here");
      t.log("connected", [a.socket.connected, chat.socket.connected]);
    },
  },
  "both namespaces, one close": {
    proves: ["Socket#disconnect", "Socket: event disconnect"],
    app(io, log) {
      io.of("/chat").on("connection", (socket) => {
        socket.on("go", () => socket.disconnect(true));
        socket.on("disconnect", (reason) => log("chat disconnect", reason, "a"));
      });
    },
    async run(t) {
      const a = await t.connect("a");
      const chat = await t.connect("a chat", { on: a, nsp: "/chat" });
      chat.emit("go");
      await Promise.all([a.until("disconnect"), chat.until("disconnect")]);
      await t.saw("chat disconnect");
    },
  },
  "and it comes back": {
    proves: ["Socket: event disconnect", "Socket#id"],
    app: () => {},
    async run(t) {
      const a = await t.connect("a", { reconnection: true });
      const first = a.id;
      a.engine.close();
      await a.until("connect", 2);
      t.log("another id", a.id !== first);
      t.log("rooms", (await a.ask("rooms")).length);
    },
  },
};
