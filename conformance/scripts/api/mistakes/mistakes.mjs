// Mistakes in apps and clients, and how Socket.IO handles each.
import { event } from "../../../lib/tools.mjs";

/** A raw WebSocket in the default namespace. */
async function joined(t, who) {
  const ws = await t.direct({ join: true, who });
  t.name(JSON.parse(ws.joined.slice("text 40".length)).sid, "<id>");
  return ws;
}

const uncaught = (proves, break_, emit = "go") => ({
  proves,
  app: (io, log) =>
    void io.on("connection", (socket) => (break_(socket, log, io), socket.on("after", (done) => done("alive")))),
  async run(t) {
    const a = await t.connect("a");
    a.emit(emit);
    await t.saw("uncaught");
    t.log("after", await a.ask("after"));
  },
});

export const cases = {
  "a middleware throws": {
    proves: ["error: middleware throws"],
    app(io) {
      io.of("/bad").use(() => {
        throw new Error("thrown");
      });
    },
    async run(t) {
      const a = await t.connect("a");
      const bad = await t.connect("bad", { on: a, nsp: "/bad", wait: false });
      await t.saw("uncaught");
      t.log("connected", [a.socket.connected, bad.socket.connected]);
      t.log("rooms", (await a.ask("rooms")).length);
    },
  },
  "a middleware rejects": {
    proves: ["error: middleware rejects"],
    app(io) {
      io.of("/bad").use(async () => {
        throw new Error("rejected");
      });
    },
    async run(t) {
      const a = await t.connect("a");
      const bad = await t.connect("bad", { on: a, nsp: "/bad", wait: false });
      await t.saw("uncaught");
      t.log("connected", [a.socket.connected, bad.socket.connected]);
    },
  },
  "a middleware answers twice": {
    proves: ["error: middleware throws"],
    app(io, log) {
      io.use((_socket, next) => (next(), next()));
      io.on("connection", () => log("connection", undefined, "a"));
    },
    async run(t) {
      const a = await t.connect("a");
      t.log("rooms", (await a.ask("rooms")).length);
    },
  },
  "a listener throws": uncaught(["error: listener throws"], (socket) =>
    socket.on("go", () => {
      throw new Error("in a listener");
    }),
  ),
  "a listener rejects": uncaught(["error: listener throws"], (socket) =>
    socket.on("go", async () => {
      throw new Error("in an async listener");
    }),
  ),
  "a connection listener throws": {
    proves: ["error: listener throws"],
    app: (io) =>
      void io.on("connection", () => {
        throw new Error("in a connection listener");
      }),
    async run(t) {
      const a = await t.connect("a");
      await t.saw("uncaught");
      t.log("rooms", (await a.ask("rooms")).length);
    },
  },
  "a circular argument": {
    proves: ["error: argument that cannot be encoded"],
    app(io) {
      io.on("connection", (socket) =>
        socket.on("go", (done) => {
          const circle = {};
          circle.self = circle;
          try {
            socket.emit("circle", circle);
            done("sent");
          } catch (error) {
            done(error.constructor.name);
          }
        }),
      );
    },
    async run(t) {
      const a = await t.connect("a");
      t.log("said", await a.ask("go"));
      t.log("rooms", (await a.ask("rooms")).length);
    },
  },
  "a client acknowledges twice": {
    proves: ["error: client acknowledges twice"],
    app: (io, log) => void io.on("connection", (socket) => socket.emit("ask", (...args) => log("answer", args, "a"))),
    async run(t) {
      const ws = await joined(t);
      t.log("asked", await ws.next());
      ws.text('430["one"]').text('430["two"]').text('420["rooms"]');
      t.log("then", await ws.next());
    },
  },
  "a client acknowledges what nobody asked": {
    proves: ["error: client acknowledges an unknown id"],
    app: () => {},
    async run(t) {
      const ws = await joined(t);
      ws.text('4399["one"]')
        .text('461-398[{"_placeholder":true,"num":0}]')
        .binary(Buffer.from([1]))
        .text('420["rooms"]');
      t.log("then", await ws.next());
    },
  },
  "a packet that is no packet": {
    proves: ["error: parser error"],
    app: () => {},
    async run(t) {
      for (const text of [
        "4nonsense",
        '42["unfinished',
        '42{"not":"a list"}',
        "49",
        '42["disconnect"]',
        '452-["x",{"_placeholder":true,"num":0}]',
        "43x",
      ]) {
        const ws = await joined(t, text);
        ws.text(text).text('420["rooms"]');
        t.log(text, await ws.rest().catch(() => ws.inbox));
      }
    },
  },
  "a reserved event name from a client": {
    proves: ["error: parser error"],
    app: (io, log) =>
      void io.on("connection", (socket) => socket.on("connect_error", () => log("heard", undefined, "a"))),
    async run(t) {
      const ws = await joined(t);
      ws.text(event("connect_error")).text('420["rooms"]');
      t.log("then", await ws.next());
    },
  },
  "connects twice to one namespace": {
    proves: ["error: client connects twice"],
    app: (io, log) => void io.on("connection", () => log("connection", undefined, "a")),
    async run(t) {
      const ws = await joined(t);
      ws.text("40").text('420["rooms"]');
      t.log("then", await ws.next());
    },
  },
  "events for a namespace it is not in": {
    proves: ["error: event for a namespace without a socket"],
    app: (io, log) => void io.of("/chat").on("connection", () => log("connection", undefined, "a")),
    async run(t) {
      const ws = await joined(t);
      ws.text('42/chat,["hello"]').text('420["rooms"]');
      t.log("then", await ws.rest().catch(() => ws.inbox));
    },
  },
  "an enumerable property of every object": {
    proves: ["error: polluted Object.prototype"],
    single: "it changes the process",
    app(io) {
      return {
        pollute: () => void (Object.prototype.polluted = 1),
        clean: () => void delete Object.prototype.polluted,
        say: () => void io.emit("news", { fine: true }),
      };
    },
    async run(t) {
      await t.tell("pollute");
      try {
        const a = await t.connect("a");
        await t.tell("say");
        await a.until("news");
      } finally {
        await t.tell("clean");
      }
    },
  },
};
