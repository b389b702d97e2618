// The app of every script: an ordinary Socket.IO server. The same file serves both targets; the only line that differs
// is `useTrunkline(io)`, and it is there when TRUNKLINE_ENDPOINT is set.
import http from "node:http";
import { Server } from "socket.io";

let current; // { io, httpServer, actions }

const log = (event, data, who = "app") => process.send({ log: [who, event, data] });

/** Who the client says that it is; scripts with several clients name them. */
export const whoIs = (request) => request?.headers["x-who"] ?? "a";

/** The app of scripts that bring none: logs all it sees, answers `echo`, acknowledges whatever wants it. */
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

const handlers = {
  async start({ file, row, endpoint }) {
    const script = await import(file);
    const data = row === undefined ? undefined : script.table[row];
    const options = typeof script.options === "function" ? script.options(data) : script.options;
    const httpServer = http.createServer();
    const io = new Server(httpServer, options);
    current = { io, httpServer, actions: {} };
    if (endpoint) {
      process.env.TRUNKLINE_ENDPOINT = endpoint;
      const { useTrunkline } = await import("../sdk/node/dist/esm/index.js");
      current.trunkline = useTrunkline(io);
    }
    current.actions = (await (script.app ?? watch)(io, log, data)) ?? {};
    await new Promise((resolve) => httpServer.listen(0, "127.0.0.1", resolve));
    await current.trunkline?.ready;
    return httpServer.address().port;
  },

  tell({ action, args }) {
    return current.actions[action](...args);
  },

  async stop() {
    const { io, httpServer } = current;
    httpServer.closeAllConnections();
    await new Promise((resolve) => io.close(resolve));
    httpServer.close(() => {});
  },
};

process.on("message", async (message) => {
  try {
    const result = await handlers[message.do](message);
    process.send({ call: message.call, result });
  } catch (error) {
    process.send({ call: message.call, error: error.stack });
  }
});
process.on("uncaughtException", (error) => log("uncaught", error.message));
process.on("disconnect", () => process.exit());
