// The ordinary client of Socket.IO, per transport: connect, echo, acks, binary, disconnect.
import { io } from "socket.io-client";

export const table = {
  "default transports": {},
  polling: { transports: ["polling"] },
  websocket: { transports: ["websocket"] },
};

export async function run(t, options) {
  const socket = t.client(
    io(`http://127.0.0.1:${t.port}`, { reconnection: false, auth: { token: "x" }, forceNew: true, ...options }),
  );
  const upgraded = options.transports ? undefined : new Promise((resolve) => socket.io.engine.once("upgrade", resolve));
  await new Promise((resolve, reject) => socket.on("connect", resolve).on("connect_error", reject));
  await upgraded;
  t.log("transport", socket.io.engine.transport.name);
  const next = (name) => new Promise((resolve) => socket.once(name, (...args) => resolve(args)));
  const echo = next("echo");
  socket.emit("echo", 1, { a: Buffer.from([1, 2]) }, "ü");
  t.log("echo", await echo);
  t.log("ack", await socket.timeout(2000).emitWithAck("ask", [1], "two"));
  const reason = next("disconnect");
  socket.disconnect();
  t.log("disconnect", (await reason)[0]);
  await t.saw("close");
}
