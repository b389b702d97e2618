// Requests that the app's own HTTP server passes to the engine, and requests that do not concern the engine.
import http from "node:http";
import http2 from "node:http2";
import { once } from "node:events";
import net from "node:net";

const UPGRADE = {
  Connection: "Upgrade",
  Upgrade: "websocket",
  "Sec-WebSocket-Version": "13",
  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
};
const portOf = async (server) => (
  server.listening || (await once(server.listen(0, "127.0.0.1"), "listening")), server.address().port
);

/** An HTTP server's answer to a handshake: its status, and whether it opened a session. */
async function handshake(port, transport) {
  const path = `/socket.io/?EIO=4&transport=${transport}`;
  const request = http.get({ port, path, agent: false, headers: transport === "websocket" ? UPGRADE : {} });
  const answered = await Promise.race([once(request, "response").then(([one]) => [one]), once(request, "upgrade")]);
  const [response, stream] = answered;
  if (stream) stream.destroy();
  else response.resume();
  return response.statusCode;
}

/** Opens an upgrade to a path that is not the engine's, and returns whether it is still open after a while. */
async function foreignUpgrade(port) {
  const stream = net.connect(port, "127.0.0.1").on("error", () => {});
  const lines = Object.entries(UPGRADE).map(([name, value]) => `${name}: ${value}\r\n`);
  stream.write(`GET /elsewhere HTTP/1.1\r\nHost: x\r\n${lines.join("")}\r\n`);
  const ended = once(stream.resume(), "close").then(() => "destroyed");
  const waited = new Promise((resolve) => setTimeout(resolve, 500, "left alone"));
  const outcome = await Promise.race([ended, waited]);
  stream.destroy();
  return outcome;
}

const foreign = (proves, options) => ({
  proves,
  options,
  app(io) {
    // Another listener for upgrades: without one, Node.js itself ends upgrades that the engine ignores.
    io.httpServer.on("upgrade", () => {});
    return { ask: () => foreignUpgrade(io.httpServer.address().port) };
  },
  async run(t) {
    t.log("a foreign upgrade is", await t.tell("ask"));
  },
});

export const cases = {
  "handleRequest and handleUpgrade": {
    proves: ["Engine#handleRequest", "Engine#handleUpgrade"],
    app(io) {
      const other = http.createServer((request, response) => io.engine.handleRequest(request, response));
      other.on("upgrade", (request, stream, head) => io.engine.handleUpgrade(request, stream, head));
      return {
        async ask() {
          const port = await portOf(other);
          const answers = [
            await handshake(port, "polling"),
            await handshake(port, "websocket"),
            await handshake(port, "none"),
          ];
          other.close();
          other.closeAllConnections();
          return answers;
        },
      };
    },
    async run(t) {
      t.log("answers", await t.tell("ask"));
    },
  },
  "a foreign upgrade": foreign(["option destroyUpgrade", "option destroyUpgradeTimeout"], {
    destroyUpgradeTimeout: 50,
  }),
  "a foreign upgrade, left alone": foreign(["option destroyUpgrade"], {
    destroyUpgrade: false,
    destroyUpgradeTimeout: 50,
  }),
  "an HTTP/2 server": {
    proves: ["Server: HTTP/2 server"],
    app(io) {
      const server = http2.createServer();
      io.attach(server);
      return {
        async ask() {
          const session = http2.connect(`http://127.0.0.1:${await portOf(server)}`);
          const request = session.request({ ":path": "/socket.io/?EIO=4&transport=polling" });
          const [headers] = await once(request, "response");
          let body = "";
          for await (const chunk of request.setEncoding("utf8")) body += chunk;
          session.destroy();
          server.close();
          return [headers[":status"], body.slice(0, 7)];
        },
      };
    },
    async run(t) {
      t.log("answer", await t.tell("ask"));
    },
  },
};
