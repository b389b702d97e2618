// Middlewares of `io.use`: order, errors with data, asynchronous decisions, what they may do with the socket.
import { whoIs } from "../../../app.mjs";

export const cases = {
  order: {
    proves: ["Server#use", "Namespace#use"],
    app(io, log) {
      io.use((socket, next) => (log("first", socket.handshake.auth, whoIs(socket.request)), next()));
      io.use((socket, next) => setTimeout(() => (log("second", [...socket.rooms], whoIs(socket.request)), next()), 10));
      io.on("connection", (socket) => log("connected", [...socket.rooms].length, whoIs(socket.request)));
    },
    async run(t) {
      await t.connect("a", { auth: { token: "t" } });
    },
  },
  "refused with data": {
    proves: ["Server#use"],
    app(io) {
      io.use((_socket, next) => next(Object.assign(new Error("not you"), { data: { code: 7, list: [1] } })));
    },
    async run(t) {
      const a = await t.connect("a", { wait: false });
      await a.until("connect_error");
    },
  },
  "data and rooms set in a middleware": {
    proves: ["Server#use", "Socket#data", "Socket#join"],
    app(io) {
      io.use((socket, next) => {
        socket.data.user = "u";
        socket.join("early");
        next();
      });
      io.on("connection", (socket) =>
        socket.emit(
          "mine",
          socket.data,
          [...socket.rooms].filter((room) => room !== socket.id),
        ),
      );
      return { say: () => void io.to("early").emit("early bird") };
    },
    async run(t) {
      const a = await t.connect("a");
      await a.until("mine");
      await t.tell("say");
      await t.settle();
    },
  },
  "emit in a middleware": {
    proves: ["Server#use", "Socket#emit"],
    app(io) {
      io.use((socket, next) => (socket.emit("too early"), next()));
      io.on("connection", (socket) => socket.emit("in time"));
    },
    async run(t) {
      const a = await t.connect("a");
      await a.until("in time");
      await t.settle();
    },
  },
  "disconnect in a middleware": {
    proves: ["Server#use", "Socket#disconnect"],
    app(io) {
      io.use((socket, next) => (socket.disconnect(true), next()));
    },
    async run(t) {
      await t.connect("a"); // there is no socket to disconnect yet
    },
  },
  "not for other namespaces": {
    proves: ["Server#use", "Namespace#use"],
    app(io) {
      io.use((_socket, next) => next(new Error("main is closed")));
      io.of("/open").on("connection", (socket) => socket.emit("welcome"));
    },
    async run(t) {
      const a = await t.connect("a", { nsp: "/open" });
      await a.until("welcome");
      const b = await t.connect("b", { on: a, wait: false });
      await b.until("connect_error");
    },
  },
  "retries after a refusal": {
    proves: ["Server#use"],
    app(io) {
      io.use((socket, next) => next(socket.handshake.auth.token === "good" ? undefined : new Error("bad token")));
    },
    async run(t) {
      const a = await t.connect("a", { wait: false, auth: { token: "bad" } });
      await a.until("connect_error");
      a.socket.auth = { token: "good" };
      a.socket.connect();
      await a.until("connect");
    },
  },
};
