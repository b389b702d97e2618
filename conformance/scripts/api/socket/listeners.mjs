// Listeners of a socket: on, once, off, catch-all in both directions, and middlewares of its packets.
const listened = (proves, listen, events, { broadcast } = {}) => ({
  proves,
  app(io, log) {
    io.on("connection", (socket) => {
      const say =
        (name) =>
        (...args) =>
          log(
            name,
            args.filter((one) => typeof one !== "function"),
            "a",
          );
      listen(socket, say, io);
      socket.on("end", (done) => done());
    });
    return { say: () => void broadcast?.(io) };
  },
  async run(t) {
    const a = await t.connect("a");
    for (const event of events) await a.emit(...event).ask("end");
    await t.tell("say");
    await t.settle();
  },
});
const hideEnd =
  (listener) =>
  (name, ...args) =>
    name === "end" || name === "settled" ? undefined : listener(name, ...args);

export const cases = {
  "on, once, off": listened(
    [
      "Socket#on",
      "Socket#once",
      "Socket#off",
      "Socket#removeListener",
      "Socket#removeAllListeners",
      "Socket#eventNames",
    ],
    (socket, say) => {
      const gone = say("gone");
      socket.on("x", say("on"));
      socket.once("x", say("once"));
      socket.on("x", gone);
      socket.off("x", gone);
      socket.on("y", gone);
      socket.removeListener("y", gone);
      socket.on("z", gone);
      socket.removeAllListeners("z");
      say("names")(...socket.eventNames().filter((name) => "xyz".includes(name)));
    },
    [["x", 1], ["x", 2], ["y"], ["z"]],
  ),
  "onAny, prependAny, offAny, listenersAny": listened(
    ["Socket#onAny", "Socket#prependAny", "Socket#offAny", "Socket#listenersAny"],
    (socket, say) => {
      const second = hideEnd(say("second"));
      const gone = hideEnd(say("gone"));
      socket.onAny(second);
      socket.prependAny(hideEnd(say("first")));
      socket.onAny(gone);
      say("listeners")(socket.listenersAny().length);
      socket.offAny(gone);
      say("listeners")(socket.listenersAny().length);
      socket.on("x", say("x"));
      socket.on("stop", () => say("listeners")(socket.offAny().listenersAny().length));
    },
    [["x", 1], ["unheard", Buffer.from([1])], ["stop"], ["x", 2]],
  ),
  "onAnyOutgoing and the others": listened(
    ["Socket#onAnyOutgoing", "Socket#prependAnyOutgoing", "Socket#offAnyOutgoing", "Socket#listenersAnyOutgoing"],
    (socket, say) => {
      const gone = hideEnd(say("gone"));
      socket.onAnyOutgoing(hideEnd(say("second")));
      socket.prependAnyOutgoing(hideEnd(say("first")));
      socket.onAnyOutgoing(gone);
      say("listeners")(socket.listenersAnyOutgoing().length);
      socket.offAnyOutgoing(gone);
      socket.on("x", () => socket.emit("out", 1, Buffer.from([2])));
      socket.on("stop", () => (socket.offAnyOutgoing(), socket.emit("unseen")));
    },
    [["x"], ["stop"]],
  ),
  "onAnyOutgoing sees broadcasts": {
    ...listened(
      ["Socket#onAnyOutgoing"],
      (socket, say) => {
        socket.onAnyOutgoing(hideEnd(say("outgoing")));
        socket.join("red");
      },
      [["x"]],
      {
        broadcast: (io) => (
          io.emit("all", 1),
          io.to("red").emit("red", { two: 2 }),
          io.to("blue").emit("blue"),
          io.except("red").emit("not red")
        ),
      },
    ),
    // The owner of the socket tells of what it sends itself.
    single: "each app server sees what it sends itself",
  },
  use: {
    proves: ["Socket#use", "Socket: event error"],
    app(io, log) {
      io.on("connection", (socket) => {
        socket.use((event, next) => (log("first", [event[0], event.length], "a"), next()));
        socket.use((event, next) => {
          if (event[0] === "bad") return next(new Error("not allowed"));
          if (event[0] === "dropped") return;
          if (event[0] === "changed") event[1] = "by middleware";
          setTimeout(next, 5);
        });
        socket.on("error", (error) => log("error", error.message, "a"));
        for (const name of ["good", "bad", "dropped", "changed"])
          socket.on(name, (...args) => (log(name, args.slice(0, 1), "a"), args.at(-1)()));
      });
    },
    async run(t) {
      const a = await t.connect("a");
      await a.ask("good", 1);
      a.emit("bad", 2);
      await t.saw("error");
      a.emit("dropped", 3);
      await a.ask("changed", 4);
      await a.ask("good", 5);
    },
  },
};
