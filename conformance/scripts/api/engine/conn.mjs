// Events and members of `socket.conn`.
const packets = (proves, event, transports) => ({
  proves,
  app(io, log) {
    io.on("connection", (socket) => {
      socket.conn.on(
        event,
        ({ type, data, options }) =>
          !String(data).includes("settled") &&
          log(event, [type, typeof data === "string" ? data.slice(0, 40) : data, options?.compress], "a"),
      );
      socket.on("echo", (...args) => socket.emit("echo", ...args.filter((one) => typeof one !== "function")));
      socket.emit("hello");
    });
  },
  async run(t) {
    const a = await t.connect("a", { transports });
    a.emit("echo", 1, Buffer.from([2]));
    await a.until("echo");
    await t.settle();
  },
});

/** Events of one of two clients' connections for packets that go to many. */
const broadcast = (proves, say, transports = ["websocket"]) => ({
  proves,
  app(io, log) {
    io.on("connection", (socket) => {
      socket.join(socket.handshake.auth.room);
      socket.conn.on("packetCreate", ({ type, data, options }) => {
        const { wsPreEncodedFrame, ...others } = options;
        log(
          "packetCreate",
          [type, data, others, wsPreEncodedFrame?.map((part) => part.length)],
          socket.handshake.auth.who,
        );
      });
    });
    return { say: () => say(io) };
  },
  single: "each app server sees what it sends itself",
  async run(t) {
    const clients = [
      await t.connect("a", { transports, auth: { who: "a", room: "red" } }),
      await t.connect("b", { transports, auth: { who: "b", room: "blue" } }),
    ];
    await t.tell("say");
    await Promise.all(clients.map((client) => client.until("news")));
    await t.settle();
  },
});

/** A session that the app ends by Engine.IO's own method, with its own reason. */
const ended = (transports) => ({
  proves: ["EngineSocket: event close"],
  app(io, log) {
    io.on("connection", (socket) => {
      socket.conn.on("close", (reason, description) => log("close", [reason, description], "a"));
      socket.on("go", () => {
        socket.conn.onClose("words of the app", "and more");
        socket.conn.onClose("said twice");
      });
    });
    return { count: () => io.engine.clientsCount };
  },
  async run(t) {
    const a = await t.connect("a", { transports });
    a.emit("go");
    // The client is notified, too.
    await t.saw("close");
    await a.until("disconnect");
    t.log("clients", await t.tell("count"));
  },
});

/** A session whose transport has an error that the app emits. */
const failed = (transports) => ({
  proves: ["EngineSocket#transport"],
  app(io, log) {
    io.on("connection", (socket) => {
      const { conn } = socket;
      socket.on("go", () => {
        const { transport } = conn;
        transport.on("error", ({ message }) => log("error", [message, conn.readyState], "a"));
        conn.on("close", (reason, { message }) => log("close", [reason, message, conn.readyState], "a"));
        if (transport.name === "websocket")
          transport.on("close", () => log("transport close", transport.readyState, "a"));
        log("heard", [transport.emit("error", new Error("boom")), conn.readyState], "a");
        log("heard again", transport.emit("error", new Error("late")), "a");
      });
    });
    return { count: () => io.engine.clientsCount };
  },
  async run(t) {
    const a = await t.connect("a", { transports });
    a.emit("go");
    await t.saw("heard again");
    if (transports.includes("websocket")) await t.saw("transport close");
    await a.until("disconnect");
    t.log("clients", await t.tell("count"));
  },
});

export const cases = {
  packet: packets(["EngineSocket: event packet"], "packet", ["websocket"]),
  "packet, polling": packets(["EngineSocket: event packet"], "packet", ["polling"]),
  packetCreate: packets(["EngineSocket: event packetCreate"], "packetCreate", ["websocket"]),
  "packetCreate, polling": packets(["EngineSocket: event packetCreate"], "packetCreate", ["polling"]),
  "packetCreate, broadcast": broadcast(["EngineSocket: event packetCreate"], (io) => {
    io.emit("news", 1);
    io.compress(false).emit("news", 2);
    io.to("red").except("blue").emit("news", 3);
    io.emit("news bytes", Buffer.from([1]));
  }),
  "packetCreate, broadcast, polling": broadcast(["EngineSocket: event packetCreate"], (io) => void io.emit("news", 1), [
    "polling",
  ]),
  "packetCreate, broadcast with acknowledgements": broadcast(["EngineSocket: event packetCreate"], (io) => {
    io.timeout(1000).emit("news", () => undefined);
  }),
  "packetCreate, listeners of the engine": {
    proves: ["EngineSocket: event packetCreate"],
    app(io, log) {
      io.engine.on("connection", (conn) =>
        conn.once("packetCreate", () =>
          conn.prependListener("packetCreate", ({ data }) => log("packetCreate", data, "a")),
        ),
      );
      return { say: () => void io.emit("news", 1) };
    },
    single: "each app server sees what it sends itself",
    async run(t) {
      const a = await t.connect("a");
      await t.tell("say");
      await a.until("news");
    },
  },
  data: {
    proves: ["EngineSocket: event data"],
    app(io, log) {
      io.on("connection", (socket) => socket.conn.on("data", (data) => log("data", data, "a")));
    },
    async run(t) {
      const a = await t.connect("a");
      a.emit("text", 1).emit("bytes", Buffer.from([1]));
      await a.ask("rooms");
    },
  },
  drain: {
    proves: ["EngineSocket: event drain"],
    app(io, log) {
      io.on("connection", (socket) => {
        socket.conn.once("drain", () => log("drain", undefined, "a"));
        socket.emit("hello");
      });
    },
    async run(t) {
      const a = await t.connect("a");
      await a.until("hello");
      await t.saw("drain");
    },
  },
  flush: {
    proves: ["EngineSocket: event flush"],
    app(io, log) {
      io.on("connection", (socket) => {
        socket.conn.on("flush", (packets) =>
          packets.forEach(({ type, data }) => String(data).includes("hello") && log("flush", [type, data], "a")),
        );
        socket.emit("hello");
      });
    },
    async run(t) {
      const a = await t.connect("a", { transports: ["websocket"] });
      await a.until("hello");
      await t.saw("flush");
    },
  },
  close: {
    proves: ["EngineSocket: event close"],
    app(io, log) {
      io.on("connection", (socket) =>
        socket.conn.on("close", (reason, description) => log("close", [reason, typeof description], "a")),
      );
    },
    async run(t) {
      const a = await t.connect("a");
      a.engine.close();
      await t.saw("close");
    },
  },
  "close by the app": {
    proves: ["EngineSocket: event close", "EngineSocket#close"],
    app(io, log) {
      io.on("connection", (socket) => {
        socket.conn.on("close", (reason) => log("close", [reason, socket.conn.readyState], "a"));
        socket.on("go", () => {
          socket.conn.close();
          log("at once", socket.conn.readyState, "a");
        });
      });
    },
    async run(t) {
      const a = await t.connect("a");
      a.emit("go");
      await t.saw("close");
    },
  },
  "onClose, called by the app": ended(["websocket"]),
  "onClose, called by the app, polling": ended(["polling"]),
  "transport error, emitted by the app": failed(["websocket"]),
  "transport error, emitted by the app, polling": failed(["polling"]),
  "transport.name follows the upgrade": {
    proves: ["EngineSocket#transport", "EngineSocket: event upgrade", "EngineSocket#upgraded"],
    app(io, log) {
      io.on("connection", (socket) => {
        const { conn } = socket;
        log("before", [conn.transport.name, conn.upgraded], "a");
        conn.once("upgrade", (transport) => log("upgrade", [transport.name, conn.transport.name, conn.upgraded], "a"));
        socket.on("name", (done) => done(conn.transport.name));
      });
    },
    async run(t) {
      const a = await t.connect("a", { transports: ["polling", "websocket"] });
      await a.upgraded();
      await t.saw("upgrade");
      t.log("after", await a.ask("name"));
    },
  },
  "request can be deleted": {
    proves: ["EngineSocket#request"],
    app(io) {
      io.on("connection", (socket) => {
        socket.on("go", (done) => {
          const own = Object.hasOwn(socket.conn, "request");
          delete socket.conn.request;
          done([own, socket.conn.request === undefined]);
        });
      });
    },
    async run(t) {
      const a = await t.connect("a");
      t.log("deleted", await a.ask("go"));
      t.log("rooms", (await a.ask("rooms")).length);
    },
  },
  "send of raw messages": {
    proves: ["EngineSocket#send"],
    app(io) {
      io.on("connection", (socket) =>
        socket.on("go", () => {
          socket.conn.send('2["raw",1]');
          socket.conn.write('2["raw",2]');
        }),
      );
    },
    async run(t) {
      const a = await t.connect("a");
      a.emit("go");
      await a.until("raw", 2);
    },
  },
};
