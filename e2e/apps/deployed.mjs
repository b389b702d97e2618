// The app of docs/operate/deploys.md: what it registers is the text of the page.
import { readFileSync } from "node:fs";
import { serve } from "./serve.mjs";

const page = readFileSync(new URL("../../docs/operate/deploys.md", import.meta.url), "utf8");
const [, code] = /(io\.on\("connection", [\s\S]*?)```/.exec(page);

serve(({ io }) => {
  io.use((socket, next) => {
    socket.data.team ??= "red";
    socket.data.name ??= socket.handshake.auth.name;
    next();
  });
  new Function("io", code)(io);
});
