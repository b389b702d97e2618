// What comes before and beside a TLS handshake: the header of a proxy, and a storm of other handshakes.
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { Agent } from "node:https";
import { connect as connectPlain } from "node:net";
import { join } from "node:path";
import { after } from "node:test";
import { connect } from "node:tls";
import { until } from "../../testing/wait.mjs";
import { Authority } from "../harness/certificates.mjs";
import { freePort, haproxy } from "../harness/proxy.mjs";
import { inWorld } from "../harness/test.mjs";
import { connected, PLAIN, TRANSPORTS } from "../harness/world.mjs";

const authority = PLAIN ? undefined : new Authority();
after(() => authority?.remove());
authority?.sign("own", { names: ["localhost", "127.0.0.1"] });
const file = PLAIN ? "" : join(authority.folder, "trunkline.toml");
if (!PLAIN) writeFileSync(file, `tls_cert_file = "own.pem"\ntls_key_file = "own.key"\n`);
const ca = authority?.pem;
const args = ["--config", file, "--trunk-listen", "127.0.0.1:0"];
const start = (world) =>
  world.startApp({ name: "amber", trunkline: { endpoint: `http://${world.node.ready.trunk_listen}` } });

const PROXY = "127.0.0.9";
const behind = [...args, "--trusted-proxies", PROXY, "--proxy-protocol", "on"];
inWorld("TLS behind a proxy that passes it on", { servers: [], args: behind, trunklineOnly: true }, (check) => {
  check("knows the client by the proxy's header, in one piece and in many", async (world) => {
    await start(world);
    for (const size of [1_000, 7, 1]) {
      const plain = connectPlain({ port: world.node.port, host: "127.0.0.1", localAddress: PROXY, noDelay: true });
      await once(plain, "connect");
      const header = "PROXY TCP4 192.0.2.7 127.0.0.1 4000 443\r\n";
      for (let at = 0; at < header.length; at += size) {
        plain.write(header.slice(at, at + size));
        await new Promise((done) => setImmediate(done));
      }
      const secure = connect({ socket: plain, servername: "localhost", ca });
      await once(secure, "secureConnect");
      secure.write("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
      const [answer] = await once(secure, "data");
      assert.match(answer.toString("latin1"), /^HTTP\/1\.1 200/);
      secure.destroy();
    }
    const addresses = await world
      .app("amber")
      .run(({ io }) =>
        [...Object.values(io.engine.clients)].map(({ remoteAddress, request }) => [
          remoteAddress,
          request.connection.encrypted,
        ]),
      );
    assert.deepEqual(addresses, Array(3).fill(["192.0.2.7", true]));
  });

  check("works with HAProxy in TCP mode", async (world) => {
    const port = await freePort();
    const block = `defaults
    mode tcp
    timeout connect 2s
    timeout client 60s
    timeout server 60s
frontend clients
    bind 127.0.0.1:${port}
    default_backend node
backend node
    server a ${world.node.ready.listen} send-proxy-v2 source ${PROXY}
`;
    const proxy = await haproxy(block, port);
    try {
      const from = "127.0.0.23";
      for (const transport of [TRANSPORTS.polling, TRANSPORTS.websocket]) {
        const agent = new Agent({ localAddress: from, ca });
        const client = world.open("/", { ...transport, ca, agent, localAddress: from }, `https://localhost:${port}`);
        await connected(client);
        assert.equal(await client.emitWithAck("server"), "amber");
        const seen = await world
          .app("amber")
          .run(
            ({ io }, id) => [io.sockets.sockets.get(id).handshake.address, io.sockets.sockets.get(id).handshake.secure],
            client.id,
          );
        assert.deepEqual(seen, [from, true]);
      }
    } finally {
      await proxy.stop();
    }
  });

  check("closes what has a broken header before its handshake", async (world) => {
    const plain = connectPlain({ port: world.node.port, host: "127.0.0.1", localAddress: PROXY });
    plain.on("error", () => {});
    plain.write("PROXY TCP4 nobody\r\n");
    await new Promise((done) => plain.resume().once("close", done));
    const metrics = await world.node.metrics();
    assert.equal(metrics.get('trunkline_edge_streams_refused_total{cause="proxy_header_malformed"}'), 1);
  });
});

const STORM = 1_000;
inWorld("a storm of handshakes", { servers: [], args, trunklineOnly: true }, (check) => {
  check("harms nobody who is there", async (world) => {
    await start(world);
    const secure = `https://localhost:${world.node.port}`;
    const clients = [];
    for (let number = 0; number < 20; number += 1)
      clients.push(await world.client("/", { ...TRANSPORTS.websocket, ca, reconnection: false }, secure));
    let stops = false;
    let answers = 0;
    const echoes = clients.map(async (client) => {
      while (!stops) {
        assert.equal(await client.timeout(20_000).emitWithAck("server"), "amber");
        answers += 1;
      }
    });
    const storm = Array.from({ length: STORM }, async (_, number) => {
      await new Promise((done) => setTimeout(done, number / 2));
      // A third each: whole handshakes, hellos that go nowhere, streams that say nothing.
      if (number % 3 === 0) {
        const socket = connect({ port: world.node.port, host: "127.0.0.1", servername: "localhost", ca });
        await once(socket, "secureConnect");
        socket.destroy();
        return;
      }
      const socket = connectPlain({ port: world.node.port, host: "127.0.0.1" });
      socket.on("error", () => {});
      if (number % 3 === 1) socket.write(Buffer.from([22, 3, 1, 2, 0, 1]));
      await once(socket, "connect");
      await new Promise((done) => setTimeout(done, 200));
      socket.destroy();
    });
    await Promise.all(storm);
    const before = answers;
    await until("echoes after the storm", () => answers > before + 100);
    stops = true;
    await Promise.all(echoes);
    assert.ok(clients.every(({ connected: isConnected }) => isConnected));
    await until(
      "that all of them are over",
      async () => (await world.node.metrics()).get("trunkline_edge_greetings") === 0,
    );
    const metrics = await world.node.metrics();
    const done = ["full", "resumed"].map((outcome) =>
      metrics.get(`trunkline_edge_tls_handshakes_total{outcome="${outcome}"}`),
    );
    const left = metrics.get('trunkline_edge_streams_refused_total{cause="tls_left"}');
    // Whoever goes right after its own last word may have left, or not.
    assert.ok(done[0] + done[1] >= clients.length, `${done}`);
    assert.ok(left >= STORM / 3, `${left}`);
    assert.ok(done[0] + done[1] + left >= STORM / 2, `${done}, ${left}`);
  });
});
