// The app of every script: an ordinary Socket.IO server. The same file serves both targets. The only line that differs
// is `useTrunkline(io)`, which runs when the runner names an endpoint.
import http from "node:http";
import { Server } from "socket.io";
import { createPairAdapter, takePairMessage } from "./lib/pair_adapter.mjs";

let current; // { ios, actions, trunks, index }

const log = (event, data, who = "app") => process.send({ log: [who, event, data] });

/** The name of a client; scripts with several clients name them. */
export const whoIs = (request) => request?.headers["x-who"] ?? "a";

/**
 * The app of wire scripts without one of their own: logs everything it sees, answers `echo`, acknowledges every event
 * that asks for it.
 */
function watch(io) {
  io.engine.on("connection_error", ({ req, code, message, context }) => {
    log("connection_error", { code, message, context }, whoIs(req));
  });
  io.engine.on("connection", (conn) => {
    const who = whoIs(conn.request);
    log("open", conn.transport.name, who);
    conn.on("upgrade", (transport) => log("upgrade", transport.name, who));
    conn.on("close", (reason) => log("close", reason, who));
  });
  io.on("connection", (socket) => watchSocket(socket));
}

/** Logs what happens to one socket. */
export function watchSocket(socket, say = log) {
  const who = whoIs(socket.request);
  say("connect", socket.nsp.name, who);
  socket.on("disconnect", (reason) => say("disconnect", reason, who));
  socket.on("error", (error) => say("error", error.message, who));
  socket.onAny((...args) => {
    const ack = typeof args.at(-1) === "function" ? args.pop() : undefined;
    say("event", args, who);
    if (args[0] === "echo") socket.emit(...args);
    ack?.(...args.slice(1));
  });
}

/** The requests of API scripts' clients in any namespace: `join`, `leave`, `rooms`, `where`. */
export function serve(nsp, say = log) {
  nsp.on("connection", (socket) => {
    const who = whoIs(socket.request);
    say("connect", nsp.name, who);
    socket.on("disconnect", (reason) => say("disconnect", reason, who));
    socket.on("join", async (rooms, done) => done(await socket.join(rooms)));
    socket.on("leave", async (room, done) => done(await socket.leave(room)));
    socket.on("rooms", (done) => done([...socket.rooms].sort()));
    socket.on("where", (done) => done(current.index));
  });
  return nsp;
}

const handlers = {
  async start({ file, row, endpoint, index, pair }) {
    const module = await import(file);
    const script = module.cases?.[row] ?? module;
    const data = row === undefined ? undefined : module.table?.[row];
    const options = typeof script.options === "function" ? script.options(data) : script.options;
    current = { index, trunks: [], ios: [], actions: {} };
    const trunk = await trunkTo(endpoint);
    const built = script.server
      ? await script.server({ trunk, listen, log })
      : ordinary({ ...(pair && { adapter: createPairAdapter() }), ...options }, (io) => trunk(io, script.trunkline));
    const { io } = built;
    current.ios = built.ios ?? [io];
    if (module.cases && !script.bare) serve(io);
    if (!module.cases && !script.app) watch(io);
    current.actions = built.actions ?? (await script.app?.(io, log, data)) ?? {};
    const port = built.port ?? (await listen(built.httpServer));
    await Promise.all(current.trunks.map((one) => one.ready));
    return port;
  },

  tell({ action, args }) {
    return current.actions[action](...args);
  },

  /** Sends a last event to every namespace: a client that has received it has everything that was sent before. */
  settle({ args: [round] }) {
    for (const io of current.ios) for (const nsp of io._nsps.values()) nsp.emit("settled", round, current.index);
  },

  /** Answers once everything that has arrived is processed: the answer comes after everything that is logged for it. */
  async idle() {
    for (let turn = 0; turn < 2; turn++) await new Promise(setImmediate);
  },

  async stop() {
    for (const io of current.ios) {
      io.httpServer?.closeAllConnections?.();
      await new Promise((resolve) => void io.close(resolve));
      io.httpServer?.close?.(() => {});
    }
  },
};

function ordinary(options, trunk) {
  const httpServer = http.createServer();
  const io = new Server(httpServer, options);
  trunk(io);
  return { io, httpServer };
}

/** `useTrunkline`, or a function that does nothing. */
async function trunkTo(endpoint) {
  if (!endpoint) return () => undefined;
  process.env.TRUNKLINE_ENDPOINT = endpoint;
  const { useTrunkline } = await import(process.env.TRUNKLINE_SDK ?? "../sdk/node/dist/esm/index.js");
  return (io, options) => {
    const trunkline = useTrunkline(io, options);
    current.trunks.push(trunkline);
    return trunkline;
  };
}

/** Listens on a free port of loopback; resolves with it. */
async function listen(httpServer) {
  await new Promise((resolve) => httpServer.listen(0, "127.0.0.1", resolve));
  return httpServer.address().port;
}

// The runner imports scripts too, and through them this file.
if (process.send) serveRunner();

function serveRunner() {
  process.on("message", async (message) => {
    if (message.published) return takePairMessage(message.published);
    try {
      const result = await handlers[message.do](message);
      process.send({ call: message.call, result });
    } catch (error) {
      process.send({ call: message.call, error: error.stack });
    }
  });
  process.on("uncaughtException", (error) => log("uncaught", error.message));
  process.on("disconnect", () => process.exit());
}
