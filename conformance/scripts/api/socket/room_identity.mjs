// A room is identified like a key of a Map: by type and value. It is the same room for trunk clients and direct
// clients.
const object = {};
const ROOMS = {
  text: "7",
  number: 7,
  bigint: 7n,
  null: null,
  undefined: undefined,
  true: true,
  "the word true": "true",
  "not a number": NaN,
  zero: 0,
  "zero as text": "0",
  "a key's text": "\0n7",
  "half a pair": "\ud800",
  "another half": "\ud801",
  "what stands for halves": "\ufffd",
  symbol: Symbol.for("7"),
};
// Values that only their own process can identify, such as objects and symbols.
const OWN = {
  object: object,
  "another object": {},
  "its name": "[object Object]",
  function: () => object,
  "symbol of its own": Symbol("7"),
  "its twin": Symbol("7"),
};

const names = (room) =>
  Object.entries({ ...ROOMS, ...OWN }).find(([, known]) => new Map([[room, 1]]).has(known))?.[0] ?? String(room);
const shown = (rooms, id) =>
  [...rooms]
    .filter((room) => room !== id)
    .map(names)
    .sort();

/** Which clients receive what: one client for each room that `act` sends to. */
const each = (proves, rooms, act, more = {}) => ({
  proves,
  ...more,
  app(io) {
    io.on("connection", (socket) => {
      const { who } = socket.handshake.auth;
      socket.on("enter", (done) => done(void socket.join({ ...ROOMS, ...OWN }[who])));
      socket.on("rooms by name", (done) => done(shown(socket.rooms, socket.id)));
    });
    return { act: (name) => act(io, { ...ROOMS, ...OWN }[name], name) };
  },
  async run(t) {
    const clients = {};
    for (const who of Object.keys(rooms)) {
      clients[who] = await t.connect(who, { auth: { who } });
      clients[who].answer("ask", () => who);
      await clients[who].ask("enter");
    }
    for (const name of Object.keys(rooms)) {
      const said = await t.tell("act", name);
      if (said !== undefined) t.log(name, said);
      await t.settle();
    }
    for (const [who, client] of Object.entries(clients)) t.log(`rooms of ${who}`, await client.ask("rooms by name"));
  },
});

/** Waits until an operation on other app servers is done there. */
const later = (act, ask) => async (io, room, name) => {
  await act(io, room, name);
  for (let tries = 0; tries < 200; tries++) {
    if (await ask(io, room)) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};
const own = { single: "an object is a room in its own process only" };

const cases = {};
for (const [kind, rooms, more] of [
  ["", ROOMS, {}],
  [", by identity", OWN, own],
]) {
  cases[`to${kind}`] = each(
    ["Server#to", "Socket#join"],
    rooms,
    (io, room, name) => void io.to(room).emit("to", name),
    more,
  );
  cases[`except${kind}`] = each(
    ["Server#except"],
    rooms,
    (io, room, name) => void io.except(room).emit("except", name),
    more,
  );
  cases[`local${kind}`] = each(
    ["Server#local"],
    rooms,
    (io, room, name) => void io.local.in(room).emit("local", name),
    own,
  );
  cases[`fetchSockets${kind}`] = each(
    ["Server#fetchSockets"],
    rooms,
    async (io, room) =>
      (await io.in(room).fetchSockets())
        .map((socket) => [socket.handshake.auth.who, shown(socket.rooms, socket.id)])
        .sort(),
    more,
  );
  cases[`fetchSockets, except${kind}`] = each(
    ["Server#fetchSockets"],
    rooms,
    async (io, room) => (await io.except(room).fetchSockets()).map((socket) => socket.handshake.auth.who).sort(),
    more,
  );
  cases[`socketsLeave${kind}`] = each(
    ["Server#socketsLeave"],
    rooms,
    later(
      (io, room) => io.socketsLeave([room]),
      async (io, room) => (await io.in(room).fetchSockets()).length === 0,
    ),
    more,
  );
  cases[`socketsJoin${kind}`] = each(
    ["Server#socketsJoin"],
    rooms,
    later(
      (io, room) => io.in(room).socketsJoin(["joined", room]),
      async (io, room) => (await io.in(room).except("joined").fetchSockets()).length === 0,
    ),
    more,
  );
  cases[`emitWithAck${kind}`] = each(
    ["Server#timeout", "Server#to"],
    rooms,
    async (io, room) => await io.to(room).timeout(3000).emitWithAck("ask"),
    more,
  );
}

cases["leave takes the one that was meant"] = {
  proves: ["Socket#leave"],
  app(io) {
    io.on("connection", (socket) => {
      socket.join([7, "7", null, "null"]);
      socket.leave("7");
      socket.leave(null);
      socket.leave(7n);
      socket.on("left", (done) => done([...socket.rooms].filter((room) => room !== socket.id)));
    });
    return {
      say: () => {
        for (const room of [7, "7", null, "null", 7n]) io.to(room).emit("to", typeof room, String(room));
      },
    };
  },
  async run(t) {
    const a = await t.connect("a");
    t.log("left", await a.ask("left"));
    await t.tell("say");
    await t.settle();
  },
};

cases["namespaces whose names are no good UTF-8 stay apart"] = {
  proves: ["Server#of"],
  single: "nobody can connect to them from outside; a client is led in by its app server",
  app(io) {
    io.of(/.*/);
    return {
      say: () =>
        void (io.of("/\ud800").emit("news", 1), io.of("/\ud801").emit("news", 2), io.of("/\ufffd").emit("news", 3)),
    };
  },
  async run(t) {
    await t.connect("a", { nsp: "/\ufffd" });
    await t.tell("say");
    await t.settle();
  },
};

cases["recovered"] = {
  proves: ["Socket#rooms"],
  options: { connectionStateRecovery: {} },
  app(io) {
    io.on("connection", (socket) => {
      if (!socket.recovered) socket.join([7, "7", 8n, null, true, "\ud800"]);
      socket.on("rooms by type", (done) =>
        done(
          [...socket.rooms]
            .filter((room) => room !== socket.id)
            .map((room) => `${typeof room} ${JSON.stringify(String(room))}`)
            .sort(),
        ),
      );
    });
    return {
      say: (which) =>
        void io.to({ number: 7, text: "7", bigint: 8n, other: 8, null: null, half: "\ud800" }[which]).emit("to", which),
    };
  },
  async run(t) {
    const a = await t.connect("a", { reconnection: false });
    await t.tell("say", "number");
    await a.until("to");
    a.engine.transport.ws.terminate?.() ?? a.engine.transport.ws._socket.destroy();
    await a.until("disconnect");
    await t.saw("disconnect", { who: "a" });
    for (const which of ["text", "bigint", "other", "null", "half"]) await t.tell("say", which);
    a.socket.connect();
    await a.until("connect", 2);
    t.log("recovered", a.socket.recovered);
    t.log("rooms", await a.ask("rooms by type"));
    for (const which of ["number", "text", "bigint", "other", "null", "half"]) await t.tell("say", which);
    await t.settle();
  },
};

export { cases };
