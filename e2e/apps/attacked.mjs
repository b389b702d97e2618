// An app that echoes, and that sends as much as a client asks for.
import { randomBytes } from "node:crypto";
import { serve } from "./serve.mjs";

const plain = "q".repeat(16_000_000);
/** Text that compresses to half its length, slowly. */
const dense = randomBytes(8_000_000).toString("hex");

serve(({ io }) => {
  io.on("connection", (socket) => {
    socket.on("echo", (value, done) => done(value));
    socket.on("much", (bytes, kind) => socket.emit("much", (kind === "dense" ? dense : plain).slice(0, bytes)));
  });
});
