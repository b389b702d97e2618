// Serves the chat page. Any static file server would do; this one also gives the page Trunkline's address.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const TRUNKLINE = process.env.SOCKET_URL ?? "http://localhost:8080";
const PUBLIC = join(dirname(fileURLToPath(import.meta.url)), "public");
const CLIENT = join(
  dirname(createRequire(import.meta.url).resolve("socket.io/package.json")),
  "client-dist/socket.io.esm.min.js",
);

const FILES = {
  "/": [join(PUBLIC, "index.html"), "text/html"],
  "/page.css": [join(PUBLIC, "page.css"), "text/css"],
  "/page.js": [join(PUBLIC, "page.js"), "text/javascript"],
  "/socket.io.js": [CLIENT, "text/javascript"],
};

const server = createServer(async (request, response) => {
  const path = new URL(request.url, "http://page").pathname;
  if (path === "/trunkline.json") {
    response.setHeader("content-type", "application/json");
    return response.end(JSON.stringify({ url: TRUNKLINE }));
  }
  if (!Object.hasOwn(FILES, path)) {
    response.statusCode = 404;
    return response.end("not found\n");
  }
  const [file, type] = FILES[path];
  response.setHeader("content-type", `${type}; charset=utf-8`);
  response.setHeader("cache-control", "no-cache");
  response.end(await readFile(file));
});

server.listen(Number(process.env.PORT ?? 3000), () => {
  console.log(`page at http://localhost:${server.address().port}, Trunkline at ${TRUNKLINE}`);
});
