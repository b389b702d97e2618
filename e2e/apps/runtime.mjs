// An app for any runtime: it reports what it sees in lines of JSON, and closes when its standard input ends.
import { createServer } from "node:http";
import { useTrunkline } from "@trunkline/socket.io";
import { Server } from "socket.io";

const { door, endpoint, direct, options } = JSON.parse(process.env.E2E);
const say = (kind, data) => process.stdout.write(`${JSON.stringify({ kind, ...data })}\n`);

/**
 * The app's own port: Node.js's HTTP server in every runtime, or Bun's with the engine that Socket.IO offers for it.
 */
const doors = {
  http() {
    const allowRequest = (request, done) => done("not here", request.headers["x-test"] !== "bad");
    const httpServer = createServer();
    const io = new Server(httpServer, { ...options, allowRequest });
    return {
      io,
      listen: () => new Promise((done) => httpServer.listen(0, "127.0.0.1", () => done(httpServer.address().port))),
    };
  },
  async bun() {
    const { Server: Engine } = await import("@socket.io/bun-engine");
    const allowRequest = (request) =>
      request.headers.get("x-test") === "bad" ? Promise.reject("not here") : Promise.resolve();
    const engine = new Engine({ path: "/socket.io/", allowRequest });
    const io = new Server(options);
    io.bind(engine);
    const listen = () => {
      const server = Bun.serve({ port: 0, hostname: "127.0.0.1", ...engine.handler() });
      closePort = () => server.stop(true);
      return server.port;
    };
    return { io, listen };
  },
};

let closePort = () => undefined;
const { io, listen } = await doors[door]();
const trunkline = useTrunkline(io, { endpoint, direct });
trunkline.on("warning", (message) => say("warning", { message }));

io.engine.on("connection", () => say("engine", { count: io.engine.clientsCount }));
io.use((socket, next) => next(socket.handshake.auth.token === "bad" ? new Error("not you") : undefined));
io.on("connection", (socket) => {
  socket.join("all");
  const { address, query, headers } = socket.handshake;
  say("connection", {
    id: socket.id,
    address,
    query: query.q,
    header: headers["x-test"],
    transport: socket.conn.transport.name,
  });
  socket.conn.on("upgrade", () => say("upgrade", { id: socket.id }));
  socket.on("echo", (value, done) => done(value));
  socket.on("all", async (done) => {
    io.to("all").emit("heard", Buffer.from([1, 2, 255]));
    const answers = await io.to("all").timeout(10_000).emitWithAck("who");
    done(answers.sort(), (await io.in("all").fetchSockets()).map(({ id }) => id).sort());
  });
  socket.on("leave", () => socket.disconnect());
  socket.on("disconnect", (reason) => say("disconnect", { id: socket.id, reason }));
});
io.of(/^\/room-\d$/).on("connection", (socket) => socket.emit("welcome", socket.nsp.name));

const port = await listen();
await trunkline.ready;
say("ready", { port });
process.stdin.resume().on("end", async () => {
  await io.close();
  closePort();
  say("closed");
});
