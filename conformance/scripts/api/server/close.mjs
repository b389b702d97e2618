import { once } from "node:events";
import { createServer } from "node:http";

// `io.close()`: clients are notified, callback and promise are called, and new clients are refused.
const closing = (proves, close) => ({
  proves,
  single: "closing is about one process",
  app(io, log) {
    io.on("connection", (socket) => {
      socket.on("disconnecting", (reason) => log("disconnecting", reason, socket.handshake.headers["x-who"]));
    });
    return { close: () => close(io, log) };
  },
  async run(t) {
    const a = await t.connect("a");
    const b = await t.connect("b");
    t.log("closed", await t.tell("close"));
    await Promise.all([a.until("disconnect"), b.until("disconnect")]);
  },
});

export const cases = {
  callback: closing(
    ["Server#close"],
    (io) => new Promise((resolve) => void io.close((error) => resolve([error?.code]))),
  ),
  promise: closing(["Server#close"], async (io) => [await io.close()]),
  "httpServer is closed too": {
    proves: ["Server#close", "Server#httpServer"],
    single: "closing is about one process",
    app: (io) => ({ close: async () => (await io.close(), io.httpServer.listening) }),
    async run(t) {
      t.log("listening", await t.tell("close"));
    },
  },
  "what was said before the end arrives": {
    proves: ["Server#close"],
    single: "closing is about one process",
    app: (io) => ({ close: () => (io.emit("last", "words"), void io.close()) }),
    async run(t) {
      const a = await t.connect("a");
      await t.tell("close");
      await a.until("disconnect");
    },
  },
  "adapter.close is called": {
    proves: ["Server#close"],
    single: "closing is about one process",
    app(io) {
      let closed = 0;
      io.of("/").adapter.close = () => void closed++;
      return { close: async () => (await io.close(), closed) };
    },
    async run(t) {
      t.log("closed", await t.tell("close"));
    },
  },
  "attached again": {
    proves: ["Server#close", "Server#attach"],
    single: "closing is about one process",
    app(io) {
      return {
        async again() {
          const { port } = io.httpServer.address();
          await new Promise((resolve) => void io.close(resolve));
          io.attach(createServer());
          await once(io.httpServer.listen(port, "127.0.0.1"), "listening");
        },
        say: () => void io.to("red").emit("news"),
        count: async () => (await io.fetchSockets()).length,
      };
    },
    async run(t) {
      const a = await t.connect("a", { reconnection: false });
      await t.tell("again");
      await a.until("disconnect");
      await t.eventually("status", async () => (await t.http("GET", t.url())).status, 200);
      a.socket.connect();
      await a.until("connect", 2);
      await a.ask("join", "red");
      await t.tell("say");
      await a.until("news");
      t.log("sockets", await t.tell("count"));
    },
  },
};
