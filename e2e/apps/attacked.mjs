// An app that echoes, and that says as much as it is asked for.
import { randomBytes } from "node:crypto";
import { serve } from "./serve.mjs";

const plain = "q".repeat(16_000_000);
/** Half of it can be compressed away, and that takes long. */
const dense = randomBytes(8_000_000).toString("hex");

serve(({ io }) => {
  io.on("connection", (socket) => {
    socket.on("echo", (value, done) => done(value));
    socket.on("much", (bytes, kind) => socket.emit("much", (kind === "dense" ? dense : plain).slice(0, bytes)));
  });
});
