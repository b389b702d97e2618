// Another parser: every Socket.IO packet is binary, and the server in between need not understand it.
import { io as connect } from "socket.io-client";
import parser from "socket.io-msgpack-parser";

export const options = { parser };
export const table = { websocket: ["websocket"], polling: ["polling"] };

export async function run(t, transports) {
  const socket = t.client(
    connect(`http://127.0.0.1:${t.port}`, { parser, transports, reconnection: false, forceNew: true }),
  );
  await new Promise((resolve, reject) => socket.on("connect", resolve).on("connect_error", reject));
  t.log("ack", await socket.timeout(2000).emitWithAck("ask", 1, { a: "ü" }, Buffer.from([1, 2])));
  const echo = new Promise((resolve) => socket.once("echo", (...args) => resolve(args)));
  socket.emit("echo", 1, null);
  t.log("echo", await echo);
}
