// Other parsers of Socket.IO packets, end to end: MessagePack, and two custom ones.
import msgpack from "socket.io-msgpack-parser";
import { binaryParser, parser as textParser } from "../../../lib/home_made_parser.mjs";

const parsers = {
  "socket.io-msgpack-parser": msgpack,
  "a home-made one, text": textParser,
  "a home-made one, binary": binaryParser,
};

const app = (io) => {
  io.on("connection", (socket) => {
    socket.on("echo", (...args) => socket.emit("echo", ...args));
    socket.on("bytes", (bytes, done) => done(Buffer.concat([Buffer.from(bytes), Buffer.from([9])])));
    socket.on("tell", (done) => (socket.broadcast.emit("others"), socket.to("red").emit("red"), done()));
  });
  io.of("/chat").use((socket, next) =>
    next(socket.handshake.auth.key ? undefined : Object.assign(new Error("no key"), { data: { code: 1 } })),
  );
  return {
    say: () => void (io.emit("news", { text: "ü", bytes: Buffer.from([1, 2]) }), io.to("red").volatile.emit("red", 1)),
    ask: () =>
      io
        .timeout(2000)
        .emitWithAck("ask", 1)
        .then((answers) => answers.sort()),
    askBytes: () =>
      io
        .timeout(2000)
        .emitWithAck("ask", Buffer.from([1]))
        .then((answers) => answers.length),
  };
};

const talk = (parser, transports) => async (t) => {
  const more = { parser, transports };
  const a = await t.connect("a", more);
  const b = await t.connect("b", more);
  if (transports.length > 1) await Promise.all([a.upgraded(), b.upgraded()]);
  a.emit("echo", 1, "ü", { bytes: Buffer.from([1]) }, null);
  await a.until("echo");
  t.log("bytes", await a.ask("bytes", Buffer.from([1])));
  await a.ask("join", "red");
  await b.ask("tell");
  await t.tell("say");
  for (const client of [a, b]) client.answer("ask", (number) => `${client.who} ${number}`);
  t.log("answers", await t.tell("ask"));
  t.log("answers", await t.tell("askBytes"));
  const refused = await t.connect("a chat", { on: a, nsp: "/chat", wait: false });
  await refused.until("connect_error");
  await t.settle();
  b.socket.disconnect();
  await t.saw("disconnect", { who: "b" });
};

const rows = {};
for (const [name, parser] of Object.entries(parsers)) {
  for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]]) {
    rows[`${name}, ${transports.join(" then ")}`] = {
      proves: ["option parser", `parser: ${name.replace(/, (text|binary)$/, "")}`],
      options: { parser },
      app,
      run: talk(parser, transports),
    };
  }
}

export const cases = {
  ...rows,
  "a client with another parser": {
    proves: ["error: parser error", "option parser"],
    options: { parser: msgpack },
    app: () => {},
    async run(t) {
      const ws = await t.direct();
      ws.text("40");
      t.log("then", await ws.rest());
    },
  },
  "MessagePack that is none": {
    proves: ["error: parser error", "option parser"],
    options: { parser: msgpack },
    app: () => {},
    async run(t) {
      const ws = await t.direct();
      ws.binary(Buffer.from([0xc1, 1, 2]));
      t.log("then", await ws.rest());
    },
  },
};
