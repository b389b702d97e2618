// The properties of `io`, and its chainable setters.
import { Adapter } from "socket.io-adapter";

const asked = (proves, ask, { options, connect = false } = {}) => ({
  proves,
  options,
  app: (io) => ({ ask: () => ask(io) }),
  async run(t) {
    if (connect) await t.connect("a");
    t.log("answer", await t.tell("ask"));
  },
});

export const cases = {
  path: asked(["Server#path"], (io) => [io.path(), io.path("/other/") === io, io.path()]),
  "path, from options": asked(["Server#path", "option path"], (io) => io.path(), { options: { path: "/mine/" } }),
  serveClient: asked(["Server#serveClient", "option serveClient"], (io) => [
    io.serveClient(),
    io.serveClient(false) === io,
    io.serveClient(),
  ]),
  connectTimeout: asked(["Server#connectTimeout", "option connectTimeout"], (io) => [
    io.connectTimeout(),
    io.connectTimeout(5000) === io,
    io.connectTimeout(),
  ]),
  "sockets is the default namespace": asked(["Server#sockets"], (io) => [
    io.sockets.name,
    io.sockets === io.of("/"),
    io.of("") === io.of("/"),
  ]),
  "of gives the same namespace": asked(["Server#of"], (io) => [
    io.of("/x") === io.of("/x"),
    io.of("x") === io.of("/x"),
    io.of("/x").name,
  ]),
  engine: asked(["Server#engine"], (io) => {
    const { pingInterval, pingTimeout, maxHttpBufferSize, transports, allowUpgrades, upgradeTimeout } = io.engine.opts;
    return {
      pingInterval,
      pingTimeout,
      maxHttpBufferSize,
      transports,
      allowUpgrades,
      upgradeTimeout,
      clients: io.engine.clientsCount,
    };
  }),
  "engine options of the app": asked(
    ["Server#engine", "option pingInterval", "option pingTimeout"],
    (io) => {
      const { pingInterval, pingTimeout, maxHttpBufferSize } = io.engine.opts;
      return { pingInterval, pingTimeout, maxHttpBufferSize };
    },
    { options: { pingInterval: 1234, pingTimeout: 567, maxHttpBufferSize: 8901 } },
  ),
  httpServer: asked(["Server#httpServer"], (io) => [typeof io.httpServer.listen, io.httpServer.listening]),
  opts: asked(["Server#opts"], (io) => [io.opts.pingInterval, io.opts.cleanupEmptyChildNamespaces], {
    options: { pingInterval: 99 },
  }),
  "methods that chain": asked(["Server#use", "Server#on"], (io) => [
    io.use((_socket, next) => next()) === io.sockets || "server",
    io.on("x", () => {}) === io || io.on("x", () => {}) === io.sockets,
  ]),
  "Server methods are there": asked(["Server#emitWithAck"], (io) => {
    const names = [
      "adapter",
      "attach",
      "attachApp",
      "bind",
      "close",
      "disconnectSockets",
      "emit",
      "except",
      "fetchSockets",
      "in",
      "listen",
      "of",
      "on",
      "onconnection",
      "path",
      "serveClient",
      "serverSideEmit",
      "serverSideEmitWithAck",
      "socketsJoin",
      "socketsLeave",
      "timeout",
      "to",
      "use",
    ];
    return names.filter((name) => typeof io[name] !== "function");
  }),
  "a client after io.path": {
    proves: ["Server#path"],
    options: { path: "/deep/er/" },
    app: () => {},
    async run(t) {
      await t.connect("a", { path: "/deep/er/" });
    },
  },
  "adapter, a class of the app": {
    proves: ["Server#adapter", "option adapter"],
    single: "an adapter of the app's own is about one process",
    app: (io) => ({
      ask: () => [typeof io.adapter(), io.of("/").adapter instanceof Adapter, typeof io.of("/").adapter.rooms.get],
    }),
    async run(t) {
      t.log("answer", await t.tell("ask"));
    },
  },
};
