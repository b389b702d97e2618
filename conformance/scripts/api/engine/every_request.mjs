// Engine middlewares and header events at each request of a session, as in Engine.IO: with the SDK's `everyRequest`.

/** The headers that the app sets, without those that differ from run to run. */
const show = (answer) => [
  answer.status,
  answer.headers["x-count"],
  answer.headers["set-cookie"],
  answer.headers["x-each"],
  answer.headers["access-control-allow-origin"],
  answer.headers.vary,
];

function app(io, log) {
  let count = 0;
  io.engine.use((request, response, next) => {
    log(
      "request",
      [request.method, request._query.transport, request._query.sid === undefined],
      request.headers["x-who"],
    );
    if (request.headers["x-who"] === "slow down")
      return void response.writeHead(429, { "retry-after": "3" }).end("slow down");
    if (request.headers["x-who"] === "failing") return void next(new Error("no"));
    response.setHeader("x-count", String(++count));
    response.setHeader("set-cookie", [`rolling=${count}`]);
    next();
  });
  io.engine.on(
    "headers",
    (headers, request) => (headers["x-each"] = request._query.sid === undefined ? "first" : "later"),
  );
  io.engine.on("connection_error", ({ code, context }) => log("connection_error", [code, context]));
  io.on("connection", (socket) => socket.on("ask", () => socket.emit("answer", 1)));
}

const single = "the app counts requests";
const trunkline = { everyRequest: true };
const options = { cors: { origin: "http://shop.example", credentials: true } };
const who = (name) => ({ "x-who": name, origin: "http://shop.example" });

export const cases = {
  "polls and posts": {
    proves: ["Engine#use", "Engine: event headers"],
    trunkline,
    options,
    single,
    app,
    async run(t) {
      const session = await t.polling({ headers: who("handshake") });
      t.log("handshake", show(session.response));
      t.log("POST", show(await session.post("40", who("post"))));
      t.log("GET", show(await session.get(who("poll"))));
      const held = session.get(who("held poll"));
      // Threads may take requests of two connections in either order.
      await t.saw("request", { count: 4 });
      t.log("POST", show(await session.post('42["ask"]', who("second post"))));
      t.log("held GET", show(await held));
    },
  },
  "a middleware that answers or fails, in the middle of a session": {
    proves: ["Engine#use"],
    trunkline,
    options,
    single,
    app,
    async run(t) {
      const session = await t.polling({ headers: who("handshake"), join: true });
      for (const name of ["slow down", "failing"]) {
        const answer = await session.get(who(name));
        t.log(name, [answer.status, answer.headers["retry-after"], answer.body]);
      }
      t.log("POST", show(await session.post('42["ask"]', who("still there"))));
      t.log("GET", (await session.get(who("poll"))).body);
    },
  },
  "a session that is not there": {
    proves: ["Engine#use"],
    trunkline,
    options,
    single,
    app,
    async run(t) {
      const { status, body } = await t.http("GET", t.url({ sid: "none" }), { headers: who("stranger") });
      t.log("answer", [status, body]);
    },
  },
  "an upgrade": {
    proves: ["Engine#use", "Engine: event headers"],
    trunkline,
    options,
    single,
    app,
    async run(t) {
      const session = await t.polling({ join: true });
      const ws = await session.websocket({ headers: who("upgrade") });
      t.log("101", show(ws.response));
      ws.text("2probe");
      t.log("probe", await ws.next());
    },
  },
};
