// Acknowledgements between one socket and its client, both ways.
const asks = (proves, ask, prepare, client) => ({
  proves,
  app(io) {
    io.on("connection", (socket) => socket.on("go", async (done) => done(await ask(socket))));
  },
  async run(t) {
    const a = await t.connect("a", client);
    prepare?.(a);
    t.log("outcome", await a.ask("go"));
    await t.settle();
  },
});

const adding = (a) => a.answer("add", (one, two) => one + two);
const outcome = (promise) =>
  promise.then(
    (value) => ({ value }),
    (error) => ({ error: error.message }),
  );

export const cases = {
  callback: asks(
    ["Socket#emit"],
    (socket) => new Promise((done) => socket.emit("add", 1, 2, (...args) => done(args))),
    adding,
  ),
  emitWithAck: asks(["Socket#emitWithAck"], (socket) => socket.emitWithAck("add", 1, 2), adding),
  "emitWithAck, polling": asks(["Socket#emitWithAck"], (socket) => socket.emitWithAck("add", 1, 2), adding, {
    transports: ["polling"],
  }),
  "emitWithAck, binary": asks(
    ["Socket#emitWithAck"],
    (socket) => socket.emitWithAck("bytes", Buffer.from([1])),
    (a) => a.answer("bytes", (bytes) => ({ back: [bytes, Buffer.from([2])] })),
  ),
  "timeout, answered": asks(
    ["Socket#timeout"],
    (socket) => new Promise((done) => socket.timeout(2000).emit("add", 1, 2, (error, sum) => done([error, sum]))),
    adding,
  ),
  "timeout, not answered": asks(
    ["Socket#timeout"],
    (socket) => new Promise((done) => socket.timeout(60).emit("mute", (error, ...rest) => done([error.message, rest]))),
  ),
  "timeout, emitWithAck": asks(["Socket#timeout", "Socket#emitWithAck"], (socket) =>
    outcome(socket.timeout(60).emitWithAck("mute")),
  ),
  "many answers out of order": asks(
    ["Socket#emitWithAck"],
    (socket) => Promise.all([30, 5, 15].map((ms) => socket.emitWithAck("later", ms))),
    (a) => {
      a.socket.on("later", (ms, done) => setTimeout(done, ms, ms));
    },
  ),
  "an ack without arguments": asks(
    ["Socket#emit"],
    (socket) => new Promise((done) => socket.emit("void", (...args) => done(args))),
    (a) => a.socket.on("void", (done) => done()),
  ),
  "several arguments": asks(
    ["Socket#emit"],
    (socket) => new Promise((done) => socket.emit("many", (...args) => done(args))),
    (a) => a.socket.on("many", (done) => done(1, null, "x", [2])),
  ),
  "answered after the socket has gone": {
    proves: ["Socket#emitWithAck", "Socket: event disconnect"],
    app(io, log) {
      io.on("connection", (socket) =>
        socket.on("go", () => {
          socket.emit("mute", () => log("answered", undefined, "a"));
          socket.timeout(50).emit("mute", (error) => log("timed out", error.message, "a"));
          socket.on("disconnect", () => log("gone", undefined, "a"));
        }),
      );
    },
    async run(t) {
      const a = await t.connect("a");
      a.emit("go");
      await a.until("mute", 2);
      a.socket.disconnect();
      await t.saw("timed out");
    },
  },
  "the app answers": {
    proves: ["Socket#on"],
    app(io) {
      io.on("connection", (socket) => {
        socket.on("sum", (...args) => args.pop()(args.reduce((one, two) => one + two)));
        socket.on("bytes", (bytes, done) => done(Buffer.concat([bytes, Buffer.from([9])])));
        socket.on("none", (done) => done());
      });
    },
    async run(t) {
      const a = await t.connect("a");
      t.log("sum", await a.ask("sum", 1, 2, 3));
      t.log("bytes", await a.ask("bytes", Buffer.from([1])));
      t.log("none", (await a.ask("none")) === undefined);
    },
  },
};
