// The properties of a socket and its handshake.
const asked = (proves, tell, { client, run } = {}) => ({
  proves,
  app(io) {
    io.on("connection", (socket) => socket.on("ask", async (done) => done(await tell(socket, io))));
  },
  async run(t) {
    const a = await t.connect("a", client);
    await run?.(t, a);
    t.log("answer", await a.ask("ask"));
  },
});

const handshake = (proves, pick, client) => asked(proves, (socket) => pick(socket.handshake, socket), { client });

export const cases = {
  "id, rooms, connected": asked(["Socket#id", "Socket#rooms", "Socket#connected", "Socket#disconnected"], (socket) => [
    socket.id,
    [...socket.rooms],
    socket.connected,
    socket.disconnected,
    typeof socket.id,
    socket.id.length,
    socket.id === socket.client.id,
  ]),
  "nsp, client, server": asked(["Socket#nsp", "Socket#client", "Client#conn", "Client#request"], (socket, io) => [
    socket.nsp.name,
    socket.nsp === io.sockets,
    socket.client.conn === socket.conn,
    socket.client.request === socket.request,
    socket.conn === socket.client.conn,
  ]),
  conn: asked(
    [
      "Socket#conn",
      "EngineSocket#protocol",
      "EngineSocket#readyState",
      "EngineSocket#remoteAddress",
      "EngineSocket#id",
    ],
    ({ conn }) => [
      conn.id,
      conn.protocol,
      conn.readyState,
      conn.remoteAddress,
      conn.transport.name,
      conn.request.headers["x-who"],
    ],
  ),
  "conn, polling": asked(
    ["Socket#conn", "EngineSocket#transport"],
    ({ conn }) => [conn.transport.name, conn.readyState, conn.protocol],
    { client: { transports: ["polling"] } },
  ),
  request: asked(["Socket#request"], ({ request }) => [
    request.method,
    request.url.replace(/[?&](t|sid)=[^&]*/g, ""),
    request.headers["x-who"],
    request.headers.upgrade,
    request._query,
    request.httpVersion,
    typeof request.socket.remotePort,
    request.connection === request.socket,
    request.complete,
  ]),
  data: asked(["Socket#data"], (socket) => [socket.data, Object.keys(socket.data)]),
  recovered: asked(["Socket#recovered"], (socket) => socket.recovered),
  "broadcast, local, volatile": asked(["Socket#broadcast", "Socket#local", "Socket#volatile"], (socket) => [
    typeof socket.broadcast.emit,
    typeof socket.local.emit,
    socket.volatile === socket,
    socket.compress(true) === socket,
    socket.timeout(5) === socket,
  ]),
  "handshake.headers": handshake(
    ["Socket#handshake.headers"],
    ({ headers }) => [headers["x-who"], headers["x-more"], headers.cookie, typeof headers.host, headers.connection],
    {
      extraHeaders: { "x-more": "1, 2", cookie: "a=b; c=d" },
    },
  ),
  "handshake.query": handshake(["Socket#handshake.query"], ({ query }) => query, { query: { token: "ü &", EIO: 4 } }),
  "handshake.auth": handshake(["Socket#handshake.auth"], ({ auth }) => auth, {
    auth: { token: "x", deep: { n: [1, null] } },
  }),
  "handshake.auth, a function": handshake(["Socket#handshake.auth"], ({ auth }) => auth, {
    auth: (give) => give({ later: true }),
  }),
  "handshake.auth, none": handshake(["Socket#handshake.auth"], ({ auth }) => auth),
  "handshake, the rest": handshake(
    [
      "Socket#handshake.address",
      "Socket#handshake.secure",
      "Socket#handshake.xdomain",
      "Socket#handshake.issued",
      "Socket#handshake.time",
      "Socket#handshake.url",
    ],
    ({ address, secure, xdomain, issued, time, url }) => [
      address,
      secure,
      xdomain,
      Math.abs(issued - Date.now()) < 5000,
      !Number.isNaN(Date.parse(time)),
      url.replace(/[?&](t|sid)=[^&]*/g, ""),
    ],
  ),
  "handshake, with Origin": handshake(
    ["Socket#handshake.xdomain"],
    ({ xdomain, headers }) => [xdomain, headers.origin],
    { extraHeaders: { origin: "http://other.test" } },
  ),
  "handshake of the second namespace": {
    proves: ["Socket#handshake.auth", "Socket#id"],
    app(io) {
      io.of("/chat").on("connection", (socket) =>
        socket.emit("mine", socket.handshake.auth, socket.handshake.query.q, socket.id === socket.client.id),
      );
    },
    async run(t) {
      const a = await t.connect("a", { auth: { n: 1 }, query: { q: "q" } });
      const chat = await t.connect("a chat", { on: a, nsp: "/chat", auth: { n: 2 } });
      await chat.until("mine");
      t.log("ids differ", a.id !== chat.id);
    },
  },
  "after the end": {
    proves: ["Socket#connected", "Socket#disconnected", "Socket#rooms", "EngineSocket#readyState"],
    app(io, log) {
      io.on("connection", (socket) => {
        socket.on("disconnecting", () => log("disconnecting", [socket.connected, [...socket.rooms].length], "a"));
        socket.on("disconnect", () =>
          log("after", [socket.connected, socket.disconnected, [...socket.rooms], socket.emit("late")], "a"),
        );
      });
    },
    async run(t) {
      const a = await t.connect("a");
      await a.ask("join", ["red"]);
      a.socket.disconnect();
      await t.saw("after");
    },
  },
};
