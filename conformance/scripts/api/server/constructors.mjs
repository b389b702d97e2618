// Every way to make a Server and to attach it to an HTTP server or a port.
import http from "node:http";
import { Server } from "socket.io";
import { Server as Engine } from "engine.io";

const greet = (io) => void io.on("connection", (socket) => socket.emit("hello", socket.handshake.query.transport));
const listening = (httpServer) =>
  new Promise((resolve) => (httpServer.listening ? resolve() : httpServer.once("listening", resolve)));
const portOf = async (io) => (await listening(io.httpServer), io.httpServer.address().port);

const form = (proves, server, options) => ({
  proves,
  server,
  bare: true,
  async run(t) {
    const a = await t.connect("a", options);
    t.log("hello", await a.until("hello"));
  },
});

export const cases = {
  "new Server(httpServer)": form(["Server: new Server(httpServer, options)"], ({ trunk }) => {
    const httpServer = http.createServer();
    const io = new Server(httpServer);
    trunk(io);
    greet(io);
    return { io, httpServer };
  }),
  "new Server(httpServer, options)": form(
    ["Server: new Server(httpServer, options)", "option path"],
    ({ trunk }) => {
      const httpServer = http.createServer();
      const io = new Server(httpServer, { path: "/chat" });
      trunk(io);
      greet(io);
      return { io, httpServer };
    },
    { path: "/chat" },
  ),
  "new Server(port, options)": form(
    ["Server: new Server(port, options)", "Server#httpServer"],
    async ({ trunk }) => {
      const io = new Server(0, { path: "/port/" });
      trunk(io);
      greet(io);
      return { io, port: await portOf(io) };
    },
    { path: "/port/" },
  ),
  "new Server(options), attach(httpServer)": form(
    ["Server: new Server(options)", "Server#attach"],
    ({ trunk }) => {
      const httpServer = http.createServer();
      const io = new Server({ path: "/options" });
      trunk(io);
      io.attach(httpServer);
      greet(io);
      return { io, httpServer };
    },
    { path: "/options" },
  ),
  "attach(httpServer, options)": form(
    ["Server#attach"],
    ({ trunk }) => {
      const httpServer = http.createServer();
      const io = new Server();
      io.attach(httpServer, { path: "/attached", transports: ["websocket"] });
      trunk(io);
      greet(io);
      return { io, httpServer };
    },
    { path: "/attached" },
  ),
  "attach before useTrunkline": form(["Server#attach"], ({ trunk }) => {
    const httpServer = http.createServer();
    const io = new Server();
    io.attach(httpServer);
    greet(io);
    trunk(io);
    return { io, httpServer };
  }),
  "attach(port)": form(["Server#attach"], async ({ trunk }) => {
    const io = new Server();
    trunk(io);
    io.attach(0);
    greet(io);
    return { io, port: await portOf(io) };
  }),
  "listen(httpServer)": form(["Server#listen"], ({ trunk }) => {
    const httpServer = http.createServer();
    const io = new Server();
    trunk(io);
    greet(io);
    io.listen(httpServer);
    return { io, httpServer };
  }),
  "listen(port, options)": form(
    ["Server#listen"],
    async ({ trunk }) => {
      const io = new Server();
      trunk(io);
      io.listen(0, { path: "/listen/" });
      greet(io);
      return { io, port: await portOf(io) };
    },
    { path: "/listen/" },
  ),
  "bind(engine)": form(["Server#bind"], ({ trunk }) => {
    const httpServer = http.createServer();
    const io = new Server();
    const engine = new Engine();
    engine.attach(httpServer, { path: "/socket.io/" });
    io.bind(engine);
    trunk(io);
    greet(io);
    return { io, httpServer };
  }),
  onconnection: {
    proves: ["Server#onconnection"],
    bare: true,
    server({ trunk }) {
      const httpServer = http.createServer();
      const io = new Server(httpServer);
      trunk(io);
      io.onconnection = ((original) =>
        function (conn) {
          conn.seen = true;
          return original.call(this, conn);
        })(io.onconnection);
      io.on("connection", (socket) => socket.emit("hello", socket.conn.constructor.name.length > 0));
      return { io, httpServer };
    },
    async run(t) {
      const a = await t.connect("a");
      t.log("hello", await a.until("hello"));
    },
  },
  "a string for a port": form(["Server: new Server(port, options)"], async ({ trunk }) => {
    const io = new Server("0");
    trunk(io);
    greet(io);
    return { io, port: await portOf(io) };
  }),
  "a function for a server": {
    proves: ["Server: new Server(httpServer, options)"],
    bare: true,
    app: () => ({
      make() {
        try {
          return String(new Server(() => {}));
        } catch (error) {
          return error.message.slice(0, 60);
        }
      },
    }),
    async run(t) {
      t.log("made", await t.tell("make"));
    },
  },
};
