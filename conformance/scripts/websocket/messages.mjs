// Messages from and to the client over a direct WebSocket session.
import { event } from "../../lib/tools.mjs";

const RS = "\x1e";

export const table = {
  text: [["text", event("echo", 1)]],
  "text outside ASCII": [["text", event("echo", "grüße, 你好, 🚀")]],
  "65535 bytes": [["text", event("echo", "x".repeat(65535 - 13))]],
  "70000 bytes": [["text", event("echo", "x".repeat(70_000))]],
  "binary attachment": [
    ["text", '451-["echo",{"_placeholder":true,"num":0}]'],
    ["binary", Buffer.from([1, 2, 3])],
  ],
  "empty attachment": [
    ["text", '451-["echo",{"_placeholder":true,"num":0}]'],
    ["binary", ""],
  ],
  "attachment in base64": [
    ["text", '451-["echo",{"_placeholder":true,"num":0}]'],
    ["text", "bAQID"],
  ],
  "record separator is data": [["text", event("echo", "x" + RS)]],
  "a noop first": [
    ["text", "6"],
    ["text", event("echo", 1)],
  ],
  "an upgrade packet in between": [
    ["text", "5"],
    ["text", event("echo", 1)],
  ],
  "a close packet in between": [
    ["text", "1"],
    ["text", event("echo", 1)],
  ],
  "an open packet in between": [
    ["text", "0"],
    ["text", event("echo", 1)],
  ],
};

export async function run(t, frames) {
  const ws = await t.direct({ join: true });
  for (const [kind, payload] of frames) ws[kind](payload);
  const first = await ws.next();
  t.log("server", first.length > 1000 ? `${first.slice(0, 30)}… ${first.length}` : first);
  if (first.includes("_placeholder")) t.log("server", await ws.next());
}

export function app(io) {
  io.on("connection", (socket) => {
    socket.on("error", (error) => socket.emit("error seen", error.message));
    socket.on("echo", (...args) => socket.emit("echo", ...args));
  });
}
