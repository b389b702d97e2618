// `initial_headers` once per session, `headers` on every answer of it, `io.engine.use` before both.
export function app(io, log) {
  let count = 0;
  io.engine.use((req, res, next) => {
    res.setHeader("x-middleware", "yes");
    next();
  });
  io.engine.on("initial_headers", (headers) => {
    headers["x-initial"] = "1";
    headers["set-cookie"] = "seen=yes";
  });
  io.engine.on("headers", (headers) => {
    headers["x-answer"] = String(++count > 0);
  });
}

export async function run(t) {
  const session = await t.polling();
  t.log("handshake", session.response);
  t.log("POST", await session.post("40"));
  t.log("GET", await session.get());
  const ws = await t.websocket(t.url({ transport: "websocket" }));
  t.log("websocket", ws.response);
}
