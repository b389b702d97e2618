// join and leave take effect at once, and memberships end with the socket.
export const cases = {
  join: {
    proves: ["Socket#join", "Socket#rooms"],
    app(io) {
      io.on("connection", (socket) =>
        socket.on("go", (done) => {
          const returned = socket.join("red");
          done([returned === undefined, [...socket.rooms].filter((room) => room !== socket.id)]);
        }),
      );
    },
    async run(t) {
      const a = await t.connect("a");
      t.log("joined", await a.ask("go"));
      t.log("again", await a.ask("go"));
    },
  },
  "join, list": {
    proves: ["Socket#join"],
    app: () => {},
    async run(t) {
      const a = await t.connect("a");
      await a.ask("join", ["one", "two", "one", "drei ü"]);
      t.log(
        "rooms",
        (await a.ask("rooms")).filter((room) => room !== a.id),
      );
    },
  },
  leave: {
    proves: ["Socket#leave"],
    app: (io) => ({ say: () => void io.to("one").emit("news") }),
    async run(t) {
      const a = await t.connect("a");
      await a.ask("join", ["one", "two"]);
      await a.ask("leave", "one");
      await a.ask("leave", "never");
      t.log(
        "rooms",
        (await a.ask("rooms")).filter((room) => room !== a.id),
      );
      await t.tell("say");
      await t.settle();
    },
  },
  "leave its own room": {
    proves: ["Socket#leave"],
    app: (io) => ({ say: (id) => void (io.to(id).emit("by id"), io.emit("all")) }),
    async run(t) {
      const a = await t.connect("a");
      await a.ask("leave", a.id);
      t.log("rooms", await a.ask("rooms"));
      await t.tell("say", a.id);
      await t.settle();
    },
  },
  "join the room of another socket": {
    proves: ["Socket#join"],
    app: (io) => ({ say: (id) => void io.to(id).emit("private") }),
    async run(t) {
      const a = await t.connect("a");
      const b = await t.connect("b");
      await b.ask("join", a.id);
      await t.tell("say", a.id);
      await t.settle();
    },
  },
  "rooms after a reconnection": {
    proves: ["Socket#rooms"],
    app: (io) => ({ say: () => void io.to("red").emit("news") }),
    async run(t) {
      const a = await t.connect("a");
      await a.ask("join", "red");
      a.socket.disconnect();
      await t.saw("disconnect"); // the next connection may be another app server's
      a.socket.connect();
      await a.until("connect", 2);
      t.log("rooms", await a.ask("rooms"));
      await t.tell("say");
      await t.settle();
    },
  },
};
