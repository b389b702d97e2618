// Events, middlewares and members of `io.engine`.
import { whoIs } from "../../../app.mjs";

export const cases = {
  "initial_headers and headers": {
    proves: ["Engine: event initial_headers", "Engine: event headers"],
    app(io) {
      io.engine.on("initial_headers", (headers, request) => {
        headers["x-first"] = request.headers["x-who"];
        headers["set-cookie"] = ["one=1", "two=2; Path=/"];
      });
      io.engine.on("headers", (headers) => (headers["x-every"] = "answer"));
    },
    async run(t) {
      const session = await t.polling({ who: "a" });
      const show = ({ status, headers }) => [status, headers["x-first"], headers["set-cookie"], headers["x-every"]];
      t.log("handshake", show(session.response));
      t.log("POST", show(await session.post("40")));
      t.log("GET", show(await session.get()));
      const ws = await t.direct({ who: "b" });
      t.log("WebSocket", show(ws.response));
    },
  },
  "cookies reach a real client": {
    proves: ["Engine: event initial_headers"],
    app: (io) => void io.engine.on("initial_headers", (headers) => (headers["set-cookie"] = "sticky=yes")),
    async run(t) {
      const a = await t.connect("a", { transports: ["polling"], withCredentials: true });
      const next = new Promise((resolve) => a.engine.on("packet", resolve));
      t.log("rooms", (await a.ask("rooms")).length);
      await next;
    },
  },
  connection: {
    proves: ["Engine: event connection"],
    app(io, log) {
      io.engine.on("connection", (conn) =>
        log(
          "connection",
          [conn.transport.name, conn.protocol, conn.readyState, conn.request._query.transport],
          whoIs(conn.request),
        ),
      );
    },
    async run(t) {
      await t.connect("a");
      await t.connect("b", { transports: ["polling"] });
    },
  },
  connection_error: {
    proves: ["Engine: event connection_error"],
    app(io, log) {
      io.engine.on("connection_error", ({ req, code, message, context }) =>
        log("connection_error", [code, message, context, req?._query], whoIs(req)),
      );
    },
    single: "requests without a session may ask any app server",
    async run(t) {
      const ask = (who, method, query) => t.http(method, t.url(query), { headers: { "x-who": who } });
      t.log("unknown transport", (await ask("a", "GET", { transport: "pigeon" })).body);
      t.log("unknown session", (await ask("b", "GET", { sid: "none" })).body);
      t.log("bad method", (await ask("c", "PUT", {})).body);
      t.log("old protocol", (await ask("d", "GET", { EIO: "3" })).body);
    },
  },
  use: {
    proves: ["Engine#use"],
    app(io, log) {
      io.engine.use((request, response, next) => {
        if (request._query.sid === undefined) log("use", [request.method, request._query.transport], whoIs(request));
        request.tagged = "by middleware";
        response.setHeader("x-middleware", "was here");
        next();
      });
      io.on("connection", (socket) => socket.emit("tagged", socket.request.tagged));
    },
    async run(t) {
      const a = await t.connect("a");
      await a.until("tagged");
      const { status, headers } = await t.http("GET", t.url(), { headers: { "x-who": "b" } });
      t.log("answer", [status, headers["x-middleware"]]);
    },
  },
  "use, an answer of its own": {
    proves: ["Engine#use"],
    app(io) {
      io.engine.use((request, response, next) => {
        if (!request.headers["x-stop"]) return next();
        response.writeHead(429, { "content-type": "text/plain", "x-why": "stopped" });
        response.end("not so fast");
      });
    },
    async run(t) {
      t.log("stopped", await t.http("GET", t.url(), { headers: { "x-stop": "1" } }));
      t.log("not stopped", (await t.http("GET", t.url())).status);
    },
  },
  "use, an error": {
    proves: ["Engine#use"],
    app: (io, log) => {
      io.engine.use((_request, _response, next) => next(new Error("broken")));
      io.engine.on("connection_error", ({ code, message, context }) =>
        log("connection_error", [code, message, context], "a"),
      );
    },
    async run(t) {
      t.log("answer", await t.http("GET", t.url()));
      const ws = await t.websocket(t.url({ transport: "websocket" }));
      t.log("WebSocket", ws.response);
    },
  },
  "use, in order and asynchronous": {
    proves: ["Engine#use"],
    app(io, log) {
      for (const [name, ms] of [
        ["first", 10],
        ["second", 0],
      ]) {
        io.engine.use((request, _response, next) =>
          setTimeout(() => {
            if (request._query.sid === undefined) log(name, undefined, "a");
            next();
          }, ms),
        );
      }
    },
    async run(t) {
      await t.connect("a");
    },
  },
  "session cookies as express-session sets them": {
    proves: ["Engine#use", "Socket#request"],
    app(io) {
      const sessions = new Map();
      io.engine.use((request, response, next) => {
        const id = /sess=(\w+)/.exec(request.headers.cookie ?? "")?.[1];
        request.session = sessions.get(id) ?? { visits: 0 };
        if (!sessions.has(id)) {
          sessions.set("abc", request.session);
          response.setHeader("set-cookie", "sess=abc; Path=/; HttpOnly");
        }
        next();
      });
      io.on("connection", (socket) => {
        socket.request.session.visits++;
        socket.emit("visits", socket.request.session.visits);
      });
    },
    single: "its sessions are in the memory of one process",
    async run(t) {
      const first = await t.http("GET", t.url());
      t.log("cookie", first.headers["set-cookie"]);
      const a = await t.connect("a", { extraHeaders: { cookie: "sess=abc" } });
      await a.until("visits");
      const b = await t.connect("b", { extraHeaders: { cookie: "sess=abc" }, transports: ["polling"] });
      await b.until("visits");
    },
  },
  generateId: {
    proves: ["Engine#generateId"],
    app(io) {
      let count = 0;
      io.engine.generateId = (request) => `${request.headers["x-who"]}-own-id-${++count}`;
      io.on("connection", (socket) => socket.emit("ids", socket.conn.id, socket.client.id));
    },
    single: "its counter is about one process",
    async run(t) {
      const a = await t.connect("a");
      await a.until("ids");
      const b = await t.connect("b", { transports: ["polling"] });
      await b.until("ids");
      t.log("ids", [a.engine.id, b.engine.id]);
    },
  },
  "generateId, a promise": {
    proves: ["Engine#generateId"],
    app(io) {
      io.engine.generateId = (request) =>
        new Promise((resolve) => setTimeout(resolve, 5, `later-${request.headers["x-who"]}`));
    },
    async run(t) {
      const a = await t.connect("a");
      t.log("id", a.engine.id === "later-a");
    },
  },
  clientsCount: {
    proves: ["Engine#clientsCount"],
    single: "it counts the clients of one process",
    app(io) {
      return { count: () => io.engine.clientsCount };
    },
    async run(t) {
      t.log("none", await t.tell("count"));
      const a = await t.connect("a");
      await t.connect("b", { transports: ["polling"] });
      t.log("two", await t.tell("count"));
      a.close();
      await t.eventually("one", () => t.tell("count"), 1);
    },
  },
  opts: {
    proves: ["Engine#opts"],
    options: { pingInterval: 777, cookie: { name: "c" } },
    app: (io) => ({
      opts: () => [
        io.engine.opts.pingInterval,
        io.engine.opts.cookie.name,
        io.engine.opts.allowEIO3,
        io.engine.opts.perMessageDeflate,
      ],
    }),
    async run(t) {
      t.log("opts", await t.tell("opts"));
    },
  },
};
