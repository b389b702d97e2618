// RemoteSocket: the result of `fetchSockets`, wherever the socket is.
const find = async (io, id) => (await io.in(id).fetchSockets())[0];

const remote = (proves, act, more = {}) => ({
  proves,
  pair: true,
  ...more,
  app(io) {
    io.on(
      "connection",
      (socket) => (socket.data = { who: socket.handshake.headers["x-who"], nested: { list: [1, null] } }),
    );
    return { act: async (id) => act(await find(io, id), io) };
  },
  async run(t) {
    const a = await t.connect("a", { auth: { token: "t" }, query: { q: "1" } });
    const b = await t.connect("b");
    await a.ask("join", ["red"]);
    await b.ask("join", ["red"]);
    a.answer("ask", (number) => number + 1);
    const [own, other] = [await t.where(a), await t.where(b)];
    t.log("two app servers", own !== other);
    for (const [name, index] of [
      ["own", own],
      ["other", other],
    ])
      t.log(name, await t.tellAt(index, "act", a.id).catch((error) => error.message.split("\n")[0]));
    if (a.socket.connected) await t.settle();
    if (a.socket.connected)
      t.log(
        "rooms",
        (await a.ask("rooms")).filter((room) => room !== a.id),
      );
  },
});

export const cases = {
  "id, rooms": remote(["RemoteSocket#id", "RemoteSocket#rooms"], (socket) => [
    socket.id,
    socket.rooms instanceof Set,
    [...socket.rooms].filter((room) => room !== socket.id),
  ]),
  data: remote(["RemoteSocket#data", "Socket#data"], (socket) => socket.data),
  handshake: remote(["RemoteSocket#handshake"], ({ handshake }) => {
    const { auth, secure, xdomain, address, headers, query, issued, time, url } = handshake;
    return [auth, secure, xdomain, address, headers["x-who"], query.q, typeof issued, typeof time, url.split("?")[0]];
  }),
  emit: remote(["RemoteSocket#emit"], (socket) => socket.emit("news", Buffer.from([1]), "x")),
  "timeout, emitWithAck": remote(["RemoteSocket#timeout", "RemoteSocket#emitWithAck"], (socket) =>
    socket.timeout(2000).emitWithAck("ask", 41),
  ),
  "timeout, callback": remote(
    ["RemoteSocket#timeout"],
    (socket) => new Promise((done) => socket.timeout(2000).emit("ask", 1, (error, answer) => done([error, answer]))),
  ),
  "timeout, no answer": remote(["RemoteSocket#timeout"], (socket) =>
    socket
      .timeout(80)
      .emitWithAck("mute")
      .catch((error) => error.message),
  ),
  "join and leave": remote(
    ["RemoteSocket#join", "RemoteSocket#leave"],
    (socket) => void (socket.join("green"), socket.join(["dark", "light"]), socket.leave("red")),
  ),
  disconnect: {
    ...remote(["RemoteSocket#disconnect"], (socket) => socket.disconnect().id),
    async run(t) {
      const a = await t.connect("a");
      const b = await t.connect("b");
      await t.tellAt(await t.where(b), "act", a.id);
      await a.until("disconnect");
      await t.tellAt(await t.where(b), "act", b.id);
      await b.until("disconnect");
    },
  },
  "disconnect, close": {
    ...remote(["RemoteSocket#disconnect"], (socket) => socket.disconnect(true).id),
    async run(t) {
      const a = await t.connect("a");
      const b = await t.connect("b");
      const closed = new Promise((resolve) => a.socket.io.on("close", resolve));
      await t.tellAt(await t.where(b), "act", a.id);
      t.log("closed", await closed);
    },
  },
};
