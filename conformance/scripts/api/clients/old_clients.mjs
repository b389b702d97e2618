// Real clients of Socket.IO 2 with `allowEIO3`, over each transport, next to clients of Socket.IO 4.
const options = { allowEIO3: true, pingInterval: 200, pingTimeout: 5000 };
const everyTransport = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] };

const app = (io, log) => {
  io.on("connection", (socket) => {
    log(
      "protocol",
      [socket.conn.protocol, socket.handshake.query.token, socket.handshake.auth],
      socket.handshake.headers["x-who"],
    );
    socket.on("echo", (...args) => socket.emit("echo", ...args));
    socket.on("bytes", (bytes, done) => done(Buffer.concat([Buffer.from(bytes), Buffer.from([9])])));
    socket.on("rejoin", (done) => (socket.join("red"), done()));
  });
  io.of("/chat").on("connection", (socket) => socket.emit("welcome", socket.nsp.name));
  return {
    say: () => void io.emit("news", "ü€😀", 1),
    sayBytes: () => void io.emit("news", Buffer.from([0, 1, 255]), { deep: Buffer.from("x") }),
    sayRoom: () => void io.to("red").emit("red"),
    ask: () =>
      io
        .timeout(2000)
        .emitWithAck("ask", 1)
        .then((answers) => answers.sort()),
    out: () => void io.disconnectSockets(true),
  };
};

const old = (act) =>
  Object.fromEntries(
    Object.entries(everyTransport).map(([name, transports]) => [
      name,
      {
        proves: ["option allowEIO3", `clients: socket.io-client 2, ${name}`],
        options,
        app,
        async run(t) {
          const a = await t.connect("a", { version: 2, transports });
          if (name === "upgrade") await a.upgraded();
          await act(t, a, transports);
        },
      },
    ]),
  );

const named = (what, rows) => Object.fromEntries(Object.entries(rows).map(([name, row]) => [`${what}, ${name}`, row]));

export const cases = {
  ...named(
    "events and acks",
    old(async (t, a) => {
      a.emit("echo", 1, "ü€😀", { two: [null] });
      await a.until("echo");
      t.log("rooms", (await a.ask("rooms")).length);
    }),
  ),
  ...named(
    "binary both ways",
    old(async (t, a) => {
      t.log("answer", await a.ask("bytes", Buffer.from([1, 2])));
      a.emit("echo", Buffer.from([0, 255]), { deep: Buffer.from("x") });
      await a.until("echo");
    }),
  ),
  ...named(
    "broadcasts beside a new client",
    old(async (t, a) => {
      await a.ask("rejoin");
      await t.connect("b");
      await t.tell("say");
      await t.tell("sayBytes");
      await t.tell("sayRoom");
      await t.settle();
    }),
  ),
  ...named(
    "broadcast with acks",
    old(async (t, a) => {
      a.answer("ask", (number) => `old ${number}`);
      (await t.connect("b")).answer("ask", (number) => `new ${number}`);
      t.log("answers", await t.tell("ask"));
    }),
  ),
  ...named(
    "namespaces",
    old(async (t, a) => {
      const chat = await t.connect("a chat", { version: 2, on: a, nsp: "/chat" });
      await chat.until("welcome");
      chat.socket.close();
      await t.settle();
    }),
  ),
  ...named(
    "goes",
    old(async (t, a) => {
      a.socket.close();
      await t.saw("disconnect");
    }),
  ),
  ...named(
    "thrown out",
    old(async (t, a) => {
      await t.tell("out");
      await a.until("disconnect");
      await t.saw("disconnect");
    }),
  ),
  ...named(
    "heartbeats",
    old(async (t, a) => {
      const pongs = [];
      a.socket.io.on("pong", () => pongs.push(1));
      a.socket.on("pong", () => pongs.push(1));
      await t.eventually("two of them", async () => Math.min(pongs.length, 2), 2);
      t.log("still there", (await a.ask("rooms")).length);
    }),
  ),
  "refused by a middleware": {
    proves: ["option allowEIO3", "Server#use"],
    options,
    app: (io) => void io.use((_socket, next) => next(new Error("not you"))),
    async run(t) {
      const a = await t.connect("a", { version: 2, wait: false });
      await a.until("error");
    },
  },
  "an unknown namespace": {
    proves: ["option allowEIO3"],
    options,
    app: () => {},
    async run(t) {
      const a = await t.connect("a", { version: 2 });
      const none = await t.connect("a none", { version: 2, on: a, nsp: "/none", wait: false });
      await none.until("error");
    },
  },
  "a query": {
    proves: ["option allowEIO3", "Socket#handshake.query"],
    options,
    app,
    async run(t) {
      await t.connect("a", { version: 2, query: { token: "t" } });
    },
  },
  "not allowed": {
    proves: ["option allowEIO3"],
    app: () => {},
    async run(t) {
      const a = await t.connect("a", { version: 2, transports: ["polling"], wait: false });
      await a.until("connect_error");
    },
  },
};
