// Options of the engine, as a client and the app see them.

const opened = (proves, options, { query, path, show } = {}) => ({
  proves,
  options,
  app: () => {},
  async run(t) {
    const answer = await t.http("GET", t.url(query, path));
    t.log("answer", show ? show(answer, t) : answer);
  },
});

const handshakes = (proves, options) => ({
  proves,
  options,
  app: () => {},
  async run(t) {
    for (const transport of ["polling", "websocket"]) {
      const client = await t.connect(transport, { transports: [transport], wait: false });
      await Promise.race([client.until("connect"), client.until("connect_error")]);
    }
  },
});

export const cases = {
  "pingInterval and pingTimeout are told": opened(["option pingInterval", "option pingTimeout"], {
    pingInterval: 300,
    pingTimeout: 200,
  }),
  "maxHttpBufferSize is told": opened(["option maxHttpBufferSize"], { maxHttpBufferSize: 1234 }),
  "changed in place": {
    proves: ["Engine#opts", "option transports", "option httpCompression", "option cookie", "option cors"],
    single: "each app server has options of its own",
    options: {
      transports: ["polling", "websocket"],
      httpCompression: { threshold: 1024 },
      cookie: { name: "before" },
      cors: { origin: "http://before.example" },
    },
    app: (io) => ({
      transports(...names) {
        const { transports } = io.engine.opts;
        transports.length = 0;
        transports.push(...names);
      },
      threshold: (bytes) => void (io.engine.opts.httpCompression.threshold = bytes),
      cookie: (name) => void (io.engine.opts.cookie.name = name),
      origin: (origin) => void (io.engine.opts.cors.origin = origin),
    }),
    async run(t) {
      const open = () => t.http("GET", t.url(), { headers: { "accept-encoding": "gzip" } });
      const status = async () => (await open()).status;
      const header = async (name) => (await open()).headers[name];
      t.log("before", await status());
      await t.tell("transports", "websocket");
      await t.eventually("transports", status, 400);
      await t.tell("transports", "polling", "websocket");
      await t.eventually("transports, back", status, 200);
      await t.tell("threshold", 1);
      await t.eventually("threshold", () => header("content-encoding"), "gzip");
      await t.tell("cookie", "after");
      t.log("cookie", (await header("set-cookie")).split("=")[0]);
      await t.tell("origin", "http://after.example");
      t.log("origin", await header("access-control-allow-origin"));
    },
  },
  "transports: polling": handshakes(["option transports"], { transports: ["polling"] }),
  "transports: websocket": handshakes(["option transports"], { transports: ["websocket"] }),
  "allowUpgrades: false": {
    proves: ["option allowUpgrades"],
    options: { allowUpgrades: false },
    app: () => {},
    async run(t) {
      const a = await t.connect("a", { transports: ["polling", "websocket"] });
      await a.ask("rooms");
      t.log("transport", [a.engine.transport.name, a.engine.upgrades ?? []]);
    },
  },
  upgradeTimeout: {
    proves: ["option upgradeTimeout"],
    options: { upgradeTimeout: 80 },
    app: () => {},
    async run(t) {
      const session = await t.polling({ join: true });
      const ws = await session.websocket();
      ws.text("2probe");
      t.log("probe", await ws.next());
      t.log("then", await ws.rest());
      await session.post('420["rooms"]');
      t.log("still there", (await session.collect(1)).length);
    },
  },
  connectTimeout: {
    proves: ["option connectTimeout"],
    options: { connectTimeout: 60 },
    app: () => {},
    async run(t) {
      const ws = await t.direct();
      t.log("then", await ws.rest());
    },
  },
  "maxHttpBufferSize, WebSocket": {
    proves: ["option maxHttpBufferSize"],
    options: { maxHttpBufferSize: 1000 },
    app: () => {},
    async run(t) {
      const ws = await t.direct({ join: true });
      ws.text("4" + "x".repeat(1000));
      t.log("then", await ws.rest());
      await t.saw("disconnect");
    },
  },
  "maxHttpBufferSize, polling": {
    proves: ["option maxHttpBufferSize"],
    options: { maxHttpBufferSize: 1000 },
    app: () => {},
    async run(t) {
      const session = await t.polling({ join: true });
      t.log("just right", (await session.post('42["' + "x".repeat(990) + '"]'))?.status);
      t.log("too large", (await session.post("4" + "x".repeat(1000)))?.status);
      await t.saw("disconnect");
      t.log("afterwards", await session.post("40"));
    },
  },
  httpRequestBodyTimeout: {
    proves: ["option httpRequestBodyTimeout"],
    options: { httpRequestBodyTimeout: 200 },
    app: () => {},
    async run(t) {
      const session = await t.polling({ join: true });
      const stream = await t.stream();
      const answer = stream.answer("POST");
      stream.write(`POST ${session.path} HTTP/1.1\r\nHost: conformance.test\r\nContent-Length: 3\r\n\r\n4`);
      t.log("status", (await answer)?.status);
      await t.saw("disconnect");
      t.log("afterwards", await session.post("40"));
    },
  },
  maxBufferedChunks: {
    proves: ["option maxBufferedChunks"],
    options: { maxBufferedChunks: 2 },
    app: () => {},
    async run(t) {
      const session = await t.polling({ join: true });
      const pieces = async (...pieces) => {
        const stream = await t.stream();
        const answer = stream.answer("POST");
        stream.write(`POST ${session.path} HTTP/1.1\r\nHost: conformance.test\r\nTransfer-Encoding: chunked\r\n\r\n`);
        for (const piece of pieces) stream.write(`${piece.length.toString(16)}\r\n${piece}\r\n`);
        stream.write("0\r\n\r\n");
        return (await answer)?.status;
      };
      t.log("two", await pieces('42["a"', "]"));
      t.log("three", await pieces("42", '["a"', "]"));
      await t.saw("disconnect");
      t.log("afterwards", await session.post("40"));
    },
  },
  "httpCompression, by default": {
    proves: ["option httpCompression"],
    app: (io) => void io.on("connection", (socket) => socket.emit("large", "x".repeat(5000))),
    async run(t) {
      for (const encoding of ["gzip", "deflate", "identity"]) {
        const session = await t.polling({ who: encoding });
        await session.post("40");
        const answer = await session.get({ "accept-encoding": encoding });
        t.log(encoding, [answer.status, answer.headers["content-encoding"]]);
      }
    },
  },
  "httpCompression: false": {
    proves: ["option httpCompression"],
    options: { httpCompression: false },
    app: (io) => void io.on("connection", (socket) => socket.emit("large", "x".repeat(5000))),
    async run(t) {
      const session = await t.polling();
      await session.post("40");
      const answer = await session.get({ "accept-encoding": "gzip" });
      t.log("encoding", [answer.status, answer.headers["content-encoding"]]);
    },
  },
  "httpCompression: { threshold }": {
    proves: ["option httpCompression"],
    options: { httpCompression: { threshold: 10_000 } },
    app: (io) => void io.on("connection", (socket) => socket.emit("large", "x".repeat(5000))),
    async run(t) {
      const session = await t.polling();
      await session.post("40");
      const answer = await session.get({ "accept-encoding": "gzip" });
      t.log("encoding", [answer.status, answer.headers["content-encoding"]]);
    },
  },
  cookie: opened(
    ["option cookie"],
    { cookie: { name: "io", path: "/", sameSite: "lax", httpOnly: true } },
    {
      show: (answer, t) => (t.name(JSON.parse(answer.body.slice(1)).sid, "<sid>"), answer.headers["set-cookie"]),
    },
  ),
  "cookie: true": opened(
    ["option cookie"],
    { cookie: true },
    { show: (answer, t) => (t.name(JSON.parse(answer.body.slice(1)).sid, "<sid>"), answer.headers["set-cookie"]) },
  ),
  path: opened(["option path"], { path: "/very/own" }, { path: "/very/own/" }),
  "addTrailingSlash: true": opened(
    ["option addTrailingSlash"],
    { path: "/own" },
    { path: "/own/", show: (answer) => answer.status },
  ),
  "addTrailingSlash: false": opened(
    ["option addTrailingSlash"],
    { path: "/own", addTrailingSlash: false },
    { path: "/own", show: (answer) => answer.status },
  ),
  "addTrailingSlash: false, real client": {
    proves: ["option addTrailingSlash"],
    options: { path: "/own", addTrailingSlash: false },
    app: () => {},
    async run(t) {
      await t.connect("a", { path: "/own", addTrailingSlash: false });
      await t.connect("b", { path: "/own", addTrailingSlash: false, transports: ["polling"] });
    },
  },
  "allowEIO3: false": opened(["option allowEIO3"], {}, { query: { EIO: "3" } }),
  allowRequest: {
    proves: ["option allowRequest"],
    options: {
      allowRequest: (request, decide) =>
        setTimeout(() => decide(request.headers["x-key"] ? null : "no key", Boolean(request.headers["x-key"])), 5),
    },
    app: (io, log) =>
      void io.engine.on("connection_error", ({ code, message, context }) =>
        log("connection_error", [code, message, context], "a"),
      ),
    async run(t) {
      await t.connect("allowed", { extraHeaders: { "x-key": "k" } });
      const refused = await t.connect("refused", { wait: false });
      await refused.until("connect_error");
      const polling = await t.connect("refused polling", { transports: ["polling"], wait: false });
      await polling.until("connect_error");
    },
  },
  "upgrade of a real client": {
    proves: ["option transports", "option allowUpgrades", "EngineSocket: event upgrade", "EngineSocket#transport"],
    app(io, log) {
      io.on("connection", (socket) => {
        log("transport", socket.conn.transport.name, "a");
        socket.conn.on("upgrade", (transport) => log("upgraded", [transport.name, socket.conn.transport.name], "a"));
      });
    },
    async run(t) {
      const a = await t.connect("a", { transports: ["polling", "websocket"] });
      await a.upgraded();
      await t.saw("upgraded");
      await a.ask("rooms");
      t.log("transport", a.engine.transport.name);
    },
  },
  "perMessageDeflate, by default": {
    proves: ["option perMessageDeflate"],
    app: () => {},
    async run(t) {
      const ws = await t.websocket(t.url({ transport: "websocket" }), {
        "sec-websocket-extensions": "permessage-deflate; client_max_window_bits",
      });
      t.log("answer", [ws.response.status, ws.response.headers["sec-websocket-extensions"]]);
    },
  },
  perMessageDeflate: {
    proves: ["option perMessageDeflate"],
    options: { perMessageDeflate: { threshold: 100 } },
    app: (io) => ({
      say: () =>
        void (io.emit("large", "x".repeat(5000)),
        io.emit("small", 1),
        io.compress(false).emit("plain", "y".repeat(5000))),
    }),
    async run(t) {
      const a = await t.connect("a", { perMessageDeflate: true });
      const b = await t.connect("b", { perMessageDeflate: false });
      t.log(
        "extensions",
        [a, b].map((client) => client.engine.transport.ws.extensions?.split(";")[0]),
      );
      await t.tell("say");
      await t.settle();
      t.log(
        "from the client",
        await a
          .emit("large", "z".repeat(3000))
          .ask("rooms")
          .then((rooms) => rooms.length),
      );
    },
  },
  "perMessageDeflate: what compress says": {
    proves: ["option perMessageDeflate", "Server#compress", "Socket#compress"],
    options: { perMessageDeflate: { threshold: 100, serverNoContextTakeover: true, clientNoContextTakeover: true } },
    app(io) {
      io.on("connection", (socket) =>
        socket.on("go", () => {
          socket.compress(true).emit("one", "x".repeat(1000));
          socket.compress(false).emit("two", "x".repeat(1000));
          socket.emit("three", 3);
          io.compress(false).emit("four", "x".repeat(1000));
          io.emit("five", "x".repeat(1000));
        }),
      );
    },
    async run(t) {
      const ws = await t.websocket(t.url({ transport: "websocket" }), {
        "sec-websocket-extensions": "permessage-deflate",
      });
      await ws.next();
      ws.text("40");
      await ws.next();
      ws.text('42["go"]');
      const flags = [];
      for (let i = 0; i < 5; i++) flags.push((await ws.next()).endsWith("(reserved bits)"));
      t.log("compressed", flags);
    },
  },
  "two sockets of one manager": {
    proves: ["Server#of"],
    app: (io) => void io.of("/chat").on("connection", (socket) => socket.emit("hi")),
    async run(t) {
      const a = await t.connect("a");
      const chat = await t.connect("a chat", { on: a, nsp: "/chat" });
      await chat.until("hi");
      t.log("one connection", a.engine === chat.engine);
    },
  },
};
