// `allowRequest` decides about handshakes only; its message goes to the client with code 4.
import { whoIs } from "../../app.mjs";

export const options = {
  allowRequest: (request, decide) => {
    const wish = request._query.wish;
    if (wish === "later") return setTimeout(() => decide(null, true), 20);
    decide(wish === "no" ? "not today" : null, wish === "yes");
  },
};

export function app(io, log) {
  io.engine.on("connection_error", ({ code, message, context, req }) => {
    log("connection_error", { code, message, context, path: new URL(req.url, "http://x").pathname }, whoIs(req));
  });
}

export const table = { yes: "yes", no: "no", later: "later", "no answer text": "else" };

export async function run(t, wish) {
  t.log("polling", await t.http("GET", t.url({ wish })));
  const ws = await t.websocket(t.url({ wish, transport: "websocket" }));
  t.log("websocket", ws.response);
}
