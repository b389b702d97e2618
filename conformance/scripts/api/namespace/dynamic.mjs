// Dynamic namespaces: by pattern and by function, their parent's broadcasts, and their end.
const names = (io) => [...io._nsps.keys()].sort();

export const cases = {
  pattern: {
    proves: ["Server#of (RegExp)"],
    app(io, log) {
      const parent = io.of(/^\/room-\d+$/);
      parent.use((socket, next) => next(socket.nsp.name === "/room-13" ? new Error("unlucky") : undefined));
      parent.on("connection", (socket) => {
        log("connection", socket.nsp.name, socket.handshake.headers["x-who"]);
        socket.emit("in", socket.nsp.name);
      });
    },
    async run(t) {
      const a = await t.connect("a", { nsp: "/room-1" });
      await t.connect("a2", { nsp: "/room-2", on: a });
      for (const nsp of ["/room-13", "/room-x", "/other"]) {
        const refused = await t.connect(`a${nsp}`, { nsp, on: a, wait: false });
        await refused.until("connect_error");
      }
      await a.until("in");
    },
  },
  function: {
    proves: ["Server#of (function)"],
    app(io) {
      io.of((name, auth, next) => setTimeout(() => next(null, name === "/by-hand" && auth.key === "k"), 5)).on(
        "connection",
        (socket) => socket.emit("in", socket.nsp.name, socket.handshake.auth),
      );
    },
    async run(t) {
      const a = await t.connect("a", { nsp: "/by-hand", auth: { key: "k" } });
      await a.until("in");
      const b = await t.connect("b", { nsp: "/by-hand", auth: {} });
      await b.until("in"); // it exists by now
      const c = await t.connect("c", { nsp: "/elsewhere", auth: { key: "k" }, wait: false });
      await c.until("connect_error");
    },
    single: "whether a namespace exists already is about one process",
  },
  "function with an error": {
    proves: ["Server#of (function)"],
    app: (io) => void io.of((_name, _auth, next) => next(new Error("no such place"), false)),
    async run(t) {
      const a = await t.connect("a", { nsp: "/any", wait: false });
      await a.until("connect_error");
    },
  },
  "the parent's emit reaches all children": {
    proves: ["Server#of (RegExp)", "ParentNamespace#emit"],
    app(io) {
      const parent = io.of(/^\/room-\d+$/);
      parent.on("connection", (socket) => socket.on("join", (room, done) => (socket.join(room), done())));
      return { say: () => void parent.emit("news", "for all") };
    },
    single: "a child namespace is made where its first client is",
    async run(t) {
      const a = await t.connect("a", { nsp: "/room-1" });
      await t.connect("b", { nsp: "/room-2" });
      await t.connect("c");
      await a.ask("join", "red");
      await t.tell("say");
      await t.settle();
    },
  },
  "a child's own broadcasts": {
    proves: ["Server#of (RegExp)"],
    app(io) {
      io.of(/^\/room-\d+$/).on("connection", (socket) => {
        socket.on("say", (...args) => socket.nsp.emit("said", ...args));
        socket.on("ping", (done) => done("pong"));
      });
    },
    async run(t) {
      const a = await t.connect("a", { nsp: "/room-1" });
      const b = await t.connect("b", { nsp: "/room-1" });
      const c = await t.connect("c", { nsp: "/room-2" });
      a.emit("say", 1);
      await Promise.all([a.until("said"), b.until("said")]);
      t.log("not for c", await c.ask("ping"));
    },
  },
  cleanupEmptyChildNamespaces: {
    proves: ["option cleanupEmptyChildNamespaces"],
    single: "namespaces are made in each process",
    options: { cleanupEmptyChildNamespaces: true },
    app(io) {
      io.of(/^\/room-\d+$/);
      return { names: () => names(io) };
    },
    async run(t) {
      const a = await t.connect("a", { nsp: "/room-1" });
      await t.connect("b", { nsp: "/room-2", on: a });
      t.log("with both", await t.tell("names"));
      a.socket.disconnect();
      await t.eventually("one left", () => t.tell("names"), ["/", "/room-2"]);
      a.socket.connect();
      await a.until("connect", 2);
      t.log("back again", await t.tell("names"));
    },
  },
  "without it, they stay": {
    proves: ["option cleanupEmptyChildNamespaces"],
    single: "namespaces are made in each process",
    app(io, log) {
      io.of(/^\/room-\d+$/).on("connection", (socket) => socket.on("disconnect", () => log("gone", undefined, "a")));
      return { names: () => names(io) };
    },
    async run(t) {
      const a = await t.connect("a", { nsp: "/room-1" });
      a.socket.disconnect();
      await t.saw("gone");
      t.log("names", await t.tell("names"));
    },
  },
};
