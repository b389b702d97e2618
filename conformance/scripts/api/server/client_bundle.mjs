// The app's own HTTP server still serves the client bundle, according to `serveClient`.
import http from "node:http";

const files = [
  "socket.io.js",
  "socket.io.min.js",
  "socket.io.js.map",
  "socket.io.esm.min.js",
  "socket.io.msgpack.min.js",
  "nothing.js",
];

const fetchAll = (io) =>
  Promise.all(
    files.map(
      (file) =>
        new Promise((resolve, reject) => {
          const { port } = io.httpServer.address();
          http
            .get({ port, path: `/socket.io/${file}`, agent: false }, (response) => {
              response
                .resume()
                .on("end", () =>
                  resolve([file, response.statusCode, response.headers["content-type"], response.headers.etag]),
                );
            })
            .on("error", reject);
        }),
    ),
  );

const served = (options) => ({
  proves: ["option serveClient"],
  options,
  app: (io) => ({ fetchAll: () => fetchAll(io) }),
  async run(t) {
    for (const line of await t.tell("fetchAll")) t.log("file", line);
  },
});

export const cases = { "by default": served({}), "switched off": served({ serveClient: false }) };
