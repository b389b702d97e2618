// fetchSockets, socketsJoin, socketsLeave, disconnectSockets: of the server, of a namespace, of a selection.
const people = async (t, ...names) => {
  const clients = [];
  for (const name of names) {
    const client = await t.connect(name);
    await client.ask("join", name === "a" ? ["red"] : ["red", "blue"]);
    clients.push(client);
  }
  return clients;
};

const ids = (sockets) => sockets.map((socket) => socket.id);

/** A selection, as the names of the clients in it. */
const fetched = (proves, select) => ({
  proves,
  app(io) {
    io.of("/chat");
    return { fetch: async () => ids(await select(io)) };
  },
  async run(t) {
    const clients = await people(t, "a", "b", "c");
    const names = new Map(clients.map((client) => [client.id, client.who]));
    const found = await t.tell("fetch");
    t.log("found", found.map((id) => names.get(id)).sort());
  },
});

const moved = (proves, move) => ({
  proves,
  app(io) {
    io.of("/chat");
    return { move: () => void move(io), say: (room) => void io.to(room).emit("news", room) };
  },
  async run(t) {
    const clients = await people(t, "a", "b");
    await t.tell("move");
    await t.tell("say", "green");
    await t.tell("say", "red");
    await t.settle();
    for (const client of clients)
      t.log(
        client.who,
        (await client.ask("rooms")).filter((room) => room !== client.id),
      );
  },
});

const disconnected = (proves, act) => ({
  proves,
  app(io) {
    io.of("/chat");
    return { act: () => void act(io) };
  },
  async run(t) {
    const [a, b] = await people(t, "a", "b");
    const chat = await t.connect("b chat", { on: b, nsp: "/chat" });
    let closed = 0;
    b.socket.io.on("close", () => closed++);
    await t.tell("act");
    await b.until("disconnect");
    await t.saw("disconnect", { who: "b" });
    await t.settle();
    t.log("left", [a.socket.connected, b.socket.connected, chat.socket.connected, closed]);
  },
});

export const cases = {
  fetchSockets: fetched(["Server#fetchSockets", "Namespace#fetchSockets"], (io) => io.fetchSockets()),
  "fetchSockets of a room": fetched(["BroadcastOperator#fetchSockets"], (io) => io.in("blue").fetchSockets()),
  "fetchSockets, union": fetched(["BroadcastOperator#fetchSockets"], (io) => io.in("blue").in("red").fetchSockets()),
  "fetchSockets, except": fetched(["BroadcastOperator#fetchSockets"], (io) =>
    io.in("red").except("blue").fetchSockets(),
  ),
  "fetchSockets, only except": fetched(["BroadcastOperator#fetchSockets"], (io) => io.except("blue").fetchSockets()),
  "fetchSockets, nobody": fetched(["BroadcastOperator#fetchSockets"], (io) => io.in("nowhere").fetchSockets()),
  "fetchSockets of another namespace": fetched(["Namespace#fetchSockets"], (io) => io.of("/chat").fetchSockets()),
  "fetchSockets, timeout flag": fetched(["BroadcastOperator#fetchSockets", "BroadcastOperator#timeout"], (io) =>
    io.timeout(3000).fetchSockets(),
  ),
  "allSockets of a room": fetched(["BroadcastOperator#allSockets"], async (io) =>
    [...(await io.in("blue").allSockets())].map((id) => ({ id })),
  ),
  socketsJoin: moved(["Server#socketsJoin", "Namespace#socketsJoin"], (io) => io.socketsJoin("green")),
  "socketsJoin, list, of a room": moved(["BroadcastOperator#socketsJoin"], (io) =>
    io.in("blue").socketsJoin(["green", "dark"]),
  ),
  "socketsJoin, except": moved(["BroadcastOperator#socketsJoin"], (io) => io.except("blue").socketsJoin("green")),
  socketsLeave: moved(["Server#socketsLeave", "Namespace#socketsLeave"], (io) => io.socketsLeave("red")),
  "socketsLeave, list, of a room": moved(["BroadcastOperator#socketsLeave"], (io) =>
    io.in("blue").socketsLeave(["red", "blue", "never"]),
  ),
  "socketsJoin of another namespace": moved(["Namespace#socketsJoin"], (io) => io.of("/chat").socketsJoin("green")),
  disconnectSockets: disconnected(["BroadcastOperator#disconnectSockets"], (io) => io.in("blue").disconnectSockets()),
  "disconnectSockets, close": disconnected(["BroadcastOperator#disconnectSockets"], (io) =>
    io.in("blue").disconnectSockets(true),
  ),
  "disconnectSockets of everybody": {
    proves: ["Server#disconnectSockets", "Namespace#disconnectSockets"],
    app: (io) => ({ act: () => void io.disconnectSockets() }),
    async run(t) {
      const clients = await people(t, "a", "b", "c");
      await t.tell("act");
      await Promise.all(clients.map((client) => client.until("disconnect")));
    },
  },
  "last words, then out": {
    proves: ["Server#disconnectSockets"],
    app: (io) => ({
      act() {
        io.emit("last", "words");
        io.to("red").socketsJoin("green");
        io.to("green").emit("very last");
        io.disconnectSockets(true);
      },
    }),
    async run(t) {
      const clients = await people(t, "a", "b");
      await t.tell("act");
      await Promise.all(clients.map((client) => client.until("disconnect")));
    },
  },
  "local utilities": {
    proves: ["Server#local", "BroadcastOperator#local"],
    single: "local is about one app server",
    app: (io) => ({
      async act() {
        io.local.socketsJoin("green");
        io.local.in("blue").socketsLeave("red");
        return (await io.local.fetchSockets()).length;
      },
    }),
    async run(t) {
      const clients = await people(t, "a", "b");
      t.log("sockets", await t.tell("act"));
      for (const client of clients)
        t.log(
          client.who,
          (await client.ask("rooms")).filter((room) => room !== client.id),
        );
    },
  },
};
