// The client address that an app sees, compared with plain Socket.IO: on a listener for IPv4 and IPv6, and on one for
// IPv4 alone.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { describe, test } from "node:test";
import { Server } from "socket.io";
import { io as connect } from "socket.io-client";
import { until } from "../../testing/wait.mjs";
import { startApp } from "../harness/app.mjs";
import { startNode } from "../harness/node.mjs";
import { PLAIN, connected } from "../harness/world.mjs";

const KEY = "a-key-of-these-tests-0123456789abcdef";
const families = (port) => ({ IPv4: `http://127.0.0.1:${port}`, IPv6: `http://[::1]:${port}` });

async function hasIpv6() {
  const probe = createServer().listen(0, "::");
  const [listens] = await Promise.race([
    once(probe, "listening").then(() => [true]),
    once(probe, "error").then(() => [false]),
  ]);
  probe.close();
  return listens;
}

describe("the address of a client", {
  skip: (PLAIN && "it compares both by itself") || (!(await hasIpv6()) && "no IPv6 here"),
}, () => {
  for (const listen of ["::", "127.0.0.1"]) {
    test(`of a listener on ${listen} is what plain Socket.IO says`, async (t) => {
      // `dev` listens on loopback addresses only.
      const node = await startNode({
        command: "serve",
        env: { TRUNKLINE_KEY: KEY },
        listen: listen === "::" ? "[::]:0" : `${listen}:0`,
      });
      t.after(() => node.stop());
      const app = await startApp({ trunkline: { endpoint: `http://127.0.0.1:${node.port}`, key: KEY } });
      t.after(() => app.stop());
      const plain = createServer();
      const io = new Server(plain);
      await new Promise((done) => plain.listen(0, listen, done));
      t.after(() => io.close());
      const look = ({ io }, id) => {
        const socket = io.sockets.sockets.get(id);
        return socket && [socket.handshake.address, socket.conn.remoteAddress, socket.request.connection.remoteAddress];
      };
      const seenOf = async (url, ask) => {
        const client = connect(url, { reconnection: false, forceNew: true });
        try {
          await connected(client);
          return await until("the socket", () => ask(client.id));
        } finally {
          client.disconnect();
        }
      };
      for (const [family, url] of Object.entries(families(node.port))) {
        if (family === "IPv6" && listen !== "::") continue;
        const wanted = await seenOf(families(plain.address().port)[family], (id) => look({ io }, id));
        assert.deepEqual(await seenOf(url, (id) => app.run(look, id)), wanted);
        if (family === "IPv4") assert.equal(wanted[0], listen === "::" ? "::ffff:127.0.0.1" : "127.0.0.1");
      }
    });
  }
});
