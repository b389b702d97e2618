// serverSideEmit and serverSideEmitWithAck between two app servers.
const run = async (t, act) => {
  const a = await t.connect("a");
  const b = await t.connect("b");
  const [first, second] = [await t.where(a), await t.where(b)];
  await act(first, second);
};
const heard = (io, nsp = io) => {
  const events = [];
  nsp.on("hello", (...args) => events.push(args));
  return events;
};

export const pair = true;
export const cases = {
  serverSideEmit: {
    proves: ["Server#serverSideEmit", "Server: event of the app (serverSideEmit)"],
    pair,
    app(io) {
      const events = heard(io);
      return { say: () => io.serverSideEmit("hello", 1, { two: [2] }), events: () => events };
    },
    run: (t) =>
      run(t, async (first, second) => {
        t.log("said", await t.tellAt(first, "say"));
        await t.eventually("the other one", () => t.tellAt(second, "events"), [[1, { two: [2] }]]);
        t.log("not itself", await t.tellAt(first, "events"));
      }),
  },
  "of a namespace": {
    proves: ["Namespace#serverSideEmit"],
    pair,
    app(io) {
      const events = heard(io, io.of("/chat"));
      const main = heard(io);
      return { say: () => io.of("/chat").serverSideEmit("hello", "chat"), events: () => [events, main] };
    },
    run: (t) =>
      run(t, async (first, second) => {
        await t.tellAt(first, "say");
        await t.eventually("the other one", () => t.tellAt(second, "events"), [[["chat"]], []]);
      }),
  },
  "with a callback": {
    proves: ["Server#serverSideEmit"],
    pair,
    app(io) {
      io.on("ask", (number, done) => done({ number }));
      return {
        ask: () => new Promise((done) => io.serverSideEmit("ask", 5, (error, answers) => done([error, answers]))),
      };
    },
    run: (t) => run(t, async (first) => t.log("answers", await t.tellAt(first, "ask"))),
  },
  serverSideEmitWithAck: {
    proves: ["Server#serverSideEmitWithAck"],
    pair,
    app(io) {
      io.on("ask", (number, done) => setTimeout(() => done(number * 2), 5));
      return { ask: () => io.serverSideEmitWithAck("ask", 21) };
    },
    run: (t) => run(t, async (first) => t.log("answers", await t.tellAt(first, "ask"))),
  },
  "serverSideEmitWithAck of a namespace": {
    proves: ["Namespace#serverSideEmitWithAck"],
    pair,
    app(io) {
      io.of("/chat").on("ask", (done) => done("chat"));
      return { ask: () => io.of("/chat").serverSideEmitWithAck("ask") };
    },
    run: (t) => run(t, async (first) => t.log("answers", await t.tellAt(first, "ask"))),
  },
  "reserved names": {
    proves: ["Server#serverSideEmit"],
    pair,
    app: (io) => ({
      say: () =>
        ["connection", "connect", "new_namespace"].map((name) => {
          try {
            return io.serverSideEmit(name);
          } catch (error) {
            return error.message;
          }
        }),
    }),
    run: (t) => run(t, async (first) => t.log("said", await t.tellAt(first, "say"))),
  },
};
