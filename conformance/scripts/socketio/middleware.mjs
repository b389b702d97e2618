// Middlewares of a namespace: accept, refuse with message and data, read the auth.
import { watchSocket } from "../../app.mjs";

export const table = {
  "let in": '40{"wish":"in"}',
  refused: '40{"wish":"refuse"}',
  "refused with data": '40{"wish":"refuse with data"}',
  "let in later": '40{"wish":"later"}',
  "first of two refuses": '40{"wish":"first"}',
  "of another namespace": '40/admin,{"wish":"refuse"}',
};

export function app(io, log) {
  const decide = (socket, next) => {
    const { wish } = socket.handshake.auth;
    log("middleware", wish);
    if (wish === "later") return setTimeout(next, 20);
    if (!wish.startsWith("refuse")) return next();
    const error = new Error("not you");
    if (wish.endsWith("data")) error.data = { code: 7, why: ["because"] };
    next(error);
  };
  const first = (socket, next) => next(socket.handshake.auth.wish === "first" ? new Error("first says no") : undefined);
  for (const nsp of [io, io.of("/admin")]) {
    nsp.use(first);
    nsp.use(decide);
    nsp.on("connection", (socket) => watchSocket(socket, log));
  }
}

export async function run(t, packet) {
  const ws = await t.direct();
  t.log("server", await ws.text(packet).next());
  if (!packet.includes("refuse") && !packet.includes("first")) return;
  t.log("again, let in", await ws.text(packet.replace(/\{.*/, '{"wish":"in"}')).next());
}
