// Connection state recovery: a client that returns soon has its id, rooms and data, and receives what it missed, in
// order.
const options = { connectionStateRecovery: { maxDisconnectionDuration: 20_000 }, pingInterval: 500, pingTimeout: 5000 };

function app(io, log) {
  io.use((socket, next) => (log("middleware", undefined, socket.handshake.headers["x-who"]), next()));
  io.on("connection", (socket) => {
    if (!socket.recovered) {
      socket.data.since = "first";
      socket.join("red");
    }
    const rooms = [...socket.rooms].filter((room) => room !== socket.id);
    log("socket", [socket.recovered, socket.data, rooms], socket.handshake.headers["x-who"]);
  });
  return {
    say: (...args) => void io.emit("news", ...args),
    sayTo: (room, ...args) => void io.to(room).emit("news", ...args),
    sayExcept: (room, ...args) => void io.except(room).emit("news", ...args),
    sayVolatile: (...args) => void io.volatile.emit("news", ...args),
    sayBytes: () => void io.emit("news", Buffer.from([1, 2, 3])),
    out: () => void io.disconnectSockets(),
  };
}

/** A client that has received one broadcast, so that it has an offset. It returns when the script says so. */
async function member(t, who, more) {
  const client = await t.connect(who, { reconnection: false, ...more });
  await t.tell("say", "before");
  await client.until("news");
  return client;
}

/** Ends the connection without a close frame; resolves when the app knows. */
async function cut(t, client) {
  client.engine.transport.ws.terminate?.() ?? client.engine.transport.ws._socket.destroy();
  await client.until("disconnect");
  await t.saw("disconnect", { who: client.who });
}

/** Reconnects a client. It does not return by itself, so the events during its absence may take any time. */
function comeBack(client, count = 2) {
  client.socket.connect();
  return client.until("connect", count);
}

const recovered = (proves, during, more = {}) => ({
  proves: ["option connectionStateRecovery", ...proves],
  options,
  app,
  ...more,
  async run(t) {
    const a = await member(t, "a", more.client);
    const id = a.id;
    await cut(t, a);
    await during(t, a);
    await comeBack(a);
    t.log("same id", a.id === id);
    await t.settle();
    t.log(
      "rooms",
      (await a.ask("rooms")).filter((room) => room !== a.id),
    );
  },
});

export const cases = {
  "nothing missed": recovered(["Socket#recovered", "Socket#id", "Socket#rooms", "Socket#data"], () => {}),
  "missed broadcasts, in order": recovered(["Socket#recovered"], async (t) => {
    for (let i = 0; i < 20; i++) await t.tell("say", i);
  }),
  "only what was meant for it": recovered(["Socket#recovered"], async (t, a) => {
    await t.tell("sayTo", "red", "red");
    await t.tell("sayTo", "blue", "blue");
    await t.tell("sayExcept", "red", "not red");
    await t.tell("sayExcept", "blue", "not blue");
    void a;
  }),
  binary: recovered(["Socket#recovered"], (t) => t.tell("sayBytes")),
  "volatile is not kept": recovered(["Socket#recovered", "Server#volatile"], async (t) => {
    await t.tell("sayVolatile", "lost");
    await t.tell("say", "kept");
  }),
  polling: {
    ...recovered([], () => {}),
    async run(t) {
      const a = await member(t, "a", { transports: ["polling"] });
      a.engine.close();
      await a.until("disconnect");
      await t.saw("disconnect");
      await t.tell("say", "missed");
      await comeBack(a);
      await t.settle();
    },
  },
  "middlewares run again: skipMiddlewares false": recovered(
    ["option connectionStateRecovery.skipMiddlewares"],
    () => {},
    {
      options: { ...options, connectionStateRecovery: { maxDisconnectionDuration: 20_000, skipMiddlewares: false } },
    },
  ),
  "middlewares are skipped: skipMiddlewares true": recovered(
    ["option connectionStateRecovery.skipMiddlewares"],
    () => {},
    {
      options: { ...options, connectionStateRecovery: { maxDisconnectionDuration: 20_000, skipMiddlewares: true } },
    },
  ),
  "too late": {
    proves: ["option connectionStateRecovery.maxDisconnectionDuration"],
    options: { ...options, connectionStateRecovery: { maxDisconnectionDuration: 40 } },
    app,
    async run(t) {
      const a = await member(t, "a");
      await cut(t, a);
      await t.tell("say", "lost");
      await t.pause(150);
      await comeBack(a);
      await t.settle();
    },
  },
  "without the option": {
    proves: ["Socket#recovered"],
    app,
    async run(t) {
      const a = await member(t, "a");
      await cut(t, a);
      await t.tell("say", "lost");
      await comeBack(a);
      await t.settle();
      t.log("offset", a.socket._lastOffset === undefined);
    },
  },
  "after a disconnect by the client": {
    proves: ["option connectionStateRecovery"],
    options,
    app,
    async run(t) {
      const a = await member(t, "a");
      a.socket.disconnect();
      await t.saw("disconnect");
      await t.tell("say", "lost");
      await comeBack(a);
      await t.settle();
    },
  },
  "after a disconnect by the app": {
    proves: ["option connectionStateRecovery"],
    options,
    app,
    async run(t) {
      const a = await member(t, "a");
      await t.tell("out");
      await a.until("disconnect");
      await t.saw("disconnect");
      await comeBack(a);
      await t.settle();
    },
  },
  "two namespaces": {
    proves: ["option connectionStateRecovery"],
    options,
    app(io, log) {
      io.of("/chat").on("connection", (socket) => log("chat", socket.recovered, "a"));
      return { ...app(io, log), chat: (...args) => void io.of("/chat").emit("talk", ...args) };
    },
    async run(t) {
      const a = await member(t, "a");
      const chat = await t.connect("a chat", { on: a, nsp: "/chat" });
      await t.tell("chat", "before");
      await chat.until("talk");
      await cut(t, a);
      await t.tell("chat", "missed");
      await t.tell("say", "missed");
      await Promise.all([comeBack(a), chat.until("connect", 2)]);
      await t.settle();
    },
  },
  twice: {
    proves: ["option connectionStateRecovery"],
    options,
    app,
    async run(t) {
      const a = await member(t, "a");
      for (const [round, disconnects] of [
        ["one", 1],
        ["two", 2],
      ]) {
        a.engine.transport.ws.terminate();
        await a.until("disconnect", disconnects);
        await t.saw("disconnect", { count: disconnects });
        await t.tell("say", round);
        await comeBack(a, disconnects + 1);
      }
      await t.settle();
    },
  },
  "a forged private id": {
    proves: ["error: recovery with a forged or foreign private id"],
    options,
    app,
    async run(t) {
      const a = await member(t, "a");
      await cut(t, a);
      a.socket._pid = "forged-forged-forged";
      await comeBack(a);
      await t.settle();
    },
  },
  "the private id of somebody who is still there": {
    proves: ["error: recovery with a forged or foreign private id"],
    options,
    app,
    async run(t) {
      const a = await member(t, "a");
      const b = await t.connect("b", { auth: { pid: a.socket._pid, offset: a.socket._lastOffset } });
      t.log("ids differ", a.id !== b.id);
      await t.settle();
    },
  },
  "an unknown offset": {
    proves: ["error: recovery with an unknown offset"],
    options,
    app,
    async run(t) {
      const a = await member(t, "a");
      await cut(t, a);
      a.socket._lastOffset = "unknown";
      await comeBack(a);
      await t.settle();
    },
  },
  "an offset of the wrong type": {
    proves: ["error: recovery with an unknown offset"],
    options,
    app,
    async run(t) {
      const a = await member(t, "a");
      await cut(t, a);
      a.socket._lastOffset = { $ne: 1 };
      await comeBack(a);
      await t.settle();
    },
  },
  "the private id is used only once": {
    proves: ["error: recovery with a forged or foreign private id"],
    options,
    app,
    async run(t) {
      const a = await member(t, "a");
      const auth = { pid: a.socket._pid, offset: a.socket._lastOffset };
      await cut(t, a);
      await comeBack(a);
      await t.connect("b", { auth });
    },
  },
};
