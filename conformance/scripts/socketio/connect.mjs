// The CONNECT packet: to the default and to other namespaces, with and without auth, right and wrong.
import { watchSocket } from "../../app.mjs";

export const table = {
  "default namespace": ["40"],
  "default namespace, empty auth": ["40{}"],
  "auth object": ['40{"token":"abc","deep":{"list":[1,null]}}'],
  "auth not an object": ['40["token"]'],
  "auth a string": ['40"token"'],
  "auth broken": ['40{"token":'],
  "default namespace written out": ["40/,"],
  "other namespace": ["40/admin,"],
  "other namespace without the comma": ["40/admin"],
  "other namespace with auth": ['40/admin,{"token":"x"}'],
  "other namespace first, default later": ["40/admin,", "40"],
  "unknown namespace": ["40/nowhere,"],
  "unknown namespace, then the default one": ["40/nowhere,", "40"],
  "namespace with a query": ["40/admin?x=1,"],
  "name of an object property": ["40/__proto__,"],
  "dynamic namespace by pattern": ["40/room-12,"],
  "dynamic namespace by function": ["40/fn-yes,"],
  "dynamic namespace refused by function": ["40/fn-no,"],
  "dynamic namespace by function, an error": ["40/fn-error,"],
  "the same namespace twice": ["40", "40"],
};

export function app(io, log) {
  const watch = (socket) => {
    watchSocket(socket, log);
    log("auth", socket.handshake.auth);
  };
  io.on("connection", watch);
  io.of("/admin").on("connection", watch);
  io.of(/^\/room-\d+$/).on("connection", watch);
  const byFunction = io.of((name, auth, next) => {
    if (name === "/fn-error") return next(new Error("cannot tell"), true);
    next(null, name === "/fn-yes");
  });
  byFunction.on("connection", watch);
}

export async function run(t, packets) {
  const ws = await t.direct();
  for (const packet of packets) {
    ws.text(packet);
    t.log("server", await ws.next());
  }
}
