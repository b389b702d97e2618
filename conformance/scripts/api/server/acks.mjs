// Broadcasts with acknowledgements: all answers, partial answers on timeout, no receiver.
const outcome = (promise) =>
  promise.then(
    (answers) => ({ answers: answers.sort() }),
    (error) => ({ error: error.message, partial: error.responses?.sort() }),
  );

const answering = async (t, ...names) => {
  const clients = [];
  for (const name of names) {
    const client = await t.connect(name);
    client.answer("ask", (question) => [name, question]);
    await client.ask("join", name === "a" ? ["red"] : ["red", "blue"]);
    clients.push(client);
  }
  return clients;
};

export const cases = {
  "timeout and callback": {
    proves: ["Server#timeout", "BroadcastOperator#timeout"],
    app: (io) => ({
      ask: () =>
        new Promise((done) =>
          io.timeout(2000).emit("ask", 1, (error, answers) => done({ error, answers: answers.sort() })),
        ),
    }),
    async run(t) {
      await answering(t, "a", "b", "c");
      t.log("answers", await t.tell("ask"));
      await t.settle();
    },
  },
  emitWithAck: {
    proves: ["BroadcastOperator#emitWithAck", "Server#timeout"],
    app: (io) => ({ ask: () => outcome(io.timeout(2000).emitWithAck("ask", "promise")) }),
    async run(t) {
      await answering(t, "a", "b");
      t.log("answers", await t.tell("ask"));
    },
  },
  rooms: {
    proves: ["BroadcastOperator#emitWithAck", "BroadcastOperator#timeout"],
    app: (io) => ({
      ask: () =>
        Promise.all([
          outcome(io.to("blue").timeout(2000).emitWithAck("ask", "blue")),
          outcome(io.timeout(2000).to("red").except("blue").emitWithAck("ask", "red only")),
        ]),
    }),
    async run(t) {
      await answering(t, "a", "b", "c");
      t.log("answers", await t.tell("ask"));
      await t.settle();
    },
  },
  "one never answers": {
    proves: ["BroadcastOperator#timeout"],
    app: (io) => ({ ask: () => outcome(io.timeout(1000).emitWithAck("ask", 1)) }),
    async run(t) {
      await answering(t, "a", "b");
      await t.connect("mute");
      t.log("answers", await t.tell("ask"));
    },
  },
  "callback on timeout": {
    proves: ["BroadcastOperator#timeout"],
    app: (io) => ({
      ask: () =>
        new Promise((done) =>
          io.timeout(1000).emit("ask", 1, (error, answers) => done({ error: error.message, answers })),
        ),
    }),
    async run(t) {
      await answering(t, "a");
      await t.connect("mute");
      t.log("answers", await t.tell("ask"));
    },
  },
  "one leaves instead of answering": {
    proves: ["BroadcastOperator#timeout"],
    app: (io) => ({ ask: () => outcome(io.timeout(1000).emitWithAck("ask", 1)) }),
    async run(t) {
      await answering(t, "a");
      const leaver = await t.connect("leaver");
      leaver.socket.on("ask", () => leaver.socket.disconnect());
      t.log("answers", await t.tell("ask"));
    },
  },
  "nobody there": {
    proves: ["BroadcastOperator#emitWithAck"],
    app: (io) => ({ ask: () => outcome(io.to("nowhere").timeout(100).emitWithAck("ask")) }),
    async run(t) {
      await answering(t, "a");
      t.log("answers", await t.tell("ask"));
    },
  },
  "binary answers": {
    proves: ["BroadcastOperator#emitWithAck"],
    app: (io) => ({ ask: () => io.timeout(2000).emitWithAck("bytes", Buffer.from([9])) }),
    async run(t) {
      const a = await t.connect("a");
      a.answer("bytes", (bytes) => Buffer.concat([bytes, Buffer.from([1])]));
      t.log("answers", await t.tell("ask"));
    },
  },
  local: {
    proves: ["BroadcastOperator#local", "BroadcastOperator#emitWithAck"],
    single: "local is about one app server",
    app: (io) => ({ ask: () => outcome(io.local.timeout(2000).emitWithAck("ask", 1)) }),
    async run(t) {
      await answering(t, "a", "b");
      t.log("answers", await t.tell("ask"));
    },
  },
  "io.emitWithAck": {
    proves: ["Server#emitWithAck", "Namespace#emitWithAck"],
    app: (io) => ({
      ask: () => ({
        server: typeof io.emitWithAck,
        namespace: typeof io.sockets.emitWithAck,
        operator: typeof io.to("red").emitWithAck,
      }),
    }),
    async run(t) {
      t.log("methods", await t.tell("ask"));
    },
  },
  "without timeout": {
    proves: ["Server#emit"],
    app: (io) => ({
      ask() {
        try {
          return io.emit("ask", 1, () => {});
        } catch (error) {
          return error.message;
        }
      },
    }),
    async run(t) {
      await t.connect("a");
      t.log("said", await t.tell("ask"));
      await t.settle();
    },
  },
};
