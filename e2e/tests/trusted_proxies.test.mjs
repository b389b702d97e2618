// Who the client is behind a proxy: by X-Forwarded-For, Forwarded and the PROXY protocol, by hand and through the real
// nginx and HAProxy. Clients come from different addresses of 127.0.0.0/8.
import assert from "node:assert/strict";
import { Agent } from "node:http";
import { describe, test } from "node:test";
import { engineUrl, socketUrl } from "../../testing/engine.mjs";
import { RawStream } from "../../testing/stream.mjs";
import { until } from "../../testing/wait.mjs";
import { upgradeHead } from "../../testing/websocket.mjs";
import { freePort, haproxy, nginx } from "../harness/proxy.mjs";
import { PLAIN, TRANSPORTS, World, connected } from "../harness/world.mjs";

async function withWorld(args, run) {
  const world = await World.start({ args });
  try {
    await run(world);
  } catch (error) {
    error.message += `\n${world.logs}`;
    throw error;
  } finally {
    await world.stop();
  }
}

/** What the app sees of a client. */
const look = ({ io }, id) => {
  const socket = io.sockets.sockets.get(id);
  if (!socket) return undefined;
  const { handshake, conn, request } = socket;
  const { remoteAddress, encrypted = false } = request.connection;
  return {
    address: handshake.address,
    secure: handshake.secure,
    others: [conn.remoteAddress, remoteAddress, encrypted],
    forwarded: handshake.headers["x-forwarded-for"] ?? handshake.headers.forwarded,
  };
};

/** Connects a client and returns what the app sees of it. */
async function seen(world, { url, transports, headers, from }) {
  const agent = from && new Agent({ localAddress: from, keepAlive: true });
  const client = world.open("/", { ...transports, extraHeaders: headers, ...(agent && { agent }) }, url);
  await connected(client);
  const found = await until("the socket", () => world.apps[0].run(look, client.id));
  assert.deepEqual(found.others, [found.address, found.address, found.secure], "everything says the same");
  client.disconnect();
  return [found.address, found.secure];
}

const refusedStreams = async (world, cause) =>
  (await world.node.metrics()).get(`trunkline_edge_streams_refused_total{cause="${cause}"}`);

describe("the client behind a proxy", { skip: PLAIN && "Socket.IO has no trusted proxies" }, () => {
  for (const name of ["polling", "websocket"]) {
    const transports = TRANSPORTS[name];

    test(`a trusted proxy names it in a header, over ${name}`, () =>
      withWorld(["--trusted-proxies", "127.0.0.1,10.0.0.0/8"], async (world) => {
        const cases = [
          [{ "x-forwarded-for": "1.1.1.1, 192.0.2.7, 10.1.1.1", "x-forwarded-proto": "https" }, ["192.0.2.7", true]],
          [{ "x-forwarded-for": "2001:db8::7" }, ["2001:db8::7", false]],
          [{ "x-forwarded-for": "192.0.2.7:4711", forwarded: "for=1.1.1.1;proto=https" }, ["192.0.2.7", false]],
          [{ forwarded: 'for="[2001:db8::7]:4711";proto=https' }, ["2001:db8::7", true]],
          [{ "x-forwarded-for": "unknown" }, ["127.0.0.1", false]],
          [{}, ["127.0.0.1", false]],
        ];
        for (const [headers, wanted] of cases) {
          assert.deepEqual(await seen(world, { transports, headers }), wanted, JSON.stringify(headers));
        }
      }));

    test(`nobody else is believed, over ${name}, and the app still sees the header`, () =>
      withWorld(["--trusted-proxies", "10.0.0.0/8"], async (world) => {
        const headers = { "x-forwarded-for": "192.0.2.7", "x-forwarded-proto": "https" };
        assert.deepEqual(await seen(world, { transports, headers }), ["127.0.0.1", false]);
        const client = await world.client("/", { ...transports, extraHeaders: headers });
        assert.equal((await world.apps[0].run(look, client.id)).forwarded, "192.0.2.7");
      }));
  }

  test("requests of many clients on one connection are each their own client's", () =>
    withWorld(["--trusted-proxies", "127.0.0.1", "--address-sessions-max", "2"], async (world) => {
      const stream = new RawStream(world.node.port);
      const as = async (client) => {
        const { status } = await stream.request("GET", engineUrl(), { headers: { "x-forwarded-for": client } });
        return status;
      };
      const statuses = [];
      for (const client of ["192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]) {
        statuses.push(await as(client));
      }
      assert.deepEqual(statuses, [200, 200, 200, 429, 200, 200]);
      // A WebSocket's handshake takes another way through the node.
      const dialled = new RawStream(world.node.port);
      dialled.write(upgradeHead(socketUrl(), { "x-forwarded-for": "192.0.2.1" }));
      await until("an answer", () => dialled.status);
      assert.equal(dialled.status, 429);
      assert.match(world.node.log.text, /address=192\.0\.2\.1 /);
    }));

  test("a malformed Forwarded of a trusted proxy is refused", () =>
    withWorld(["--trusted-proxies", "127.0.0.1", "--forwarded-header", "forwarded"], async (world) => {
      const headers = { forwarded: 'for=", for=192.0.2.7' };
      const stream = new RawStream(world.node.port);
      const { status, body } = await stream.request("GET", engineUrl(), { headers });
      assert.deepEqual([status, JSON.parse(body).error], [400, "forwarded_malformed"]);
      const spoofed = { "x-forwarded-for": "1.1.1.1", forwarded: "for=192.0.2.7" };
      assert.deepEqual(await seen(world, { transports: TRANSPORTS.polling, headers: spoofed }), ["192.0.2.7", false]);
    }));

  test("nginx names its clients, whatever they say themselves", () =>
    withWorld(["--trusted-proxies", "127.0.0.1"], async (world) => {
      const port = await freePort();
      const block = `
        map $http_upgrade $connection_upgrade { default upgrade; "" ""; }
        upstream node { server ${world.node.ready.listen}; keepalive 4; }
        server {
          listen 127.0.0.1:${port};
          location / {
            proxy_pass http://node;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto https;
          }
        }`;
      const proxy = await nginx(block, port);
      try {
        for (const name of ["polling", "websocket"]) {
          for (const from of ["127.0.0.21", "127.0.0.22"]) {
            const headers = { "x-forwarded-for": "1.1.1.1" };
            const what = { url: proxy.url, transports: TRANSPORTS[name], from, headers };
            assert.deepEqual(await seen(world, what), [from, true]);
          }
        }
      } finally {
        await proxy.stop();
      }
    }));
});

/** A header of version 2 for IPv4. */
function version2(address, { command = 0x21, family = 0x11, fields = Buffer.alloc(0) } = {}) {
  const addresses = Buffer.from([...address.split(".").map(Number), 127, 0, 0, 1, 0x12, 0x67, 0x1f, 0x90]);
  const body = Buffer.concat([addresses, fields]);
  const head = Buffer.from([...Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1"), command, family, 0, body.length]);
  return Buffer.concat([head, body]);
}

const TLS_FIELD = Buffer.from([0x20, 0, 5, 1, 0, 0, 0, 0]);

describe("the PROXY protocol in front", { skip: PLAIN && "Socket.IO does not speak it" }, () => {
  const PROXY = "127.0.0.9";
  const ARGS = ["--trusted-proxies", PROXY, "--proxy-protocol", "on", "--address-sessions-max", "1"];

  /** Sends a header and a handshake, byte by byte if `slowly`; resolves with the stream once an answer has begun. */
  async function greet(world, header, { slowly = false, from = PROXY } = {}) {
    const stream = await RawStream.open(world.node.port, { localAddress: from });
    const bytes = Buffer.concat([Buffer.from(header), Buffer.from(upgradeHead(socketUrl()))]);
    for (const part of slowly ? Array.from(bytes, (byte) => Buffer.of(byte)) : [bytes]) {
      stream.write(part);
      if (slowly) await new Promise(setImmediate);
    }
    await until("an answer, or the end", () => stream.status || stream.ended);
    return stream;
  }

  test("by hand: one piece and many, both versions, limits for whom it names", () =>
    withWorld(ARGS, async (world) => {
      const version1 = (address) => `PROXY TCP4 ${address} 127.0.0.1 4711 8080\r\n`;
      const cases = [
        [version1("192.0.2.1"), {}, 101],
        [version1("192.0.2.1"), {}, 429],
        [version1("192.0.2.2"), { slowly: true }, 101],
        [version2("192.0.2.2"), {}, 429],
        [version2("192.0.2.3"), { slowly: true }, 101],
        [version2("192.0.2.4", { fields: TLS_FIELD }), {}, 101],
        // The proxy's own: nobody's, as often as it likes.
        ["PROXY UNKNOWN\r\n", {}, 101],
        [version2("192.0.2.1", { command: 0x20 }), {}, 101],
        [version2("192.0.2.1", { family: 0 }), {}, 101],
      ];
      for (const [header, options, status] of cases) {
        assert.equal((await greet(world, header, options)).status, status, JSON.stringify(header.toString("latin1")));
      }
    }));

  test("headers that are missing, broken, or somebody else's are refused and counted", () =>
    withWorld(ARGS, async (world) => {
      assert.equal((await greet(world, "")).status, 0);
      assert.equal(await refusedStreams(world, "proxy_header_missing"), 1);
      const broken = ["PROXY TCP4 192.0.2.1\r\n", version2("192.0.2.1", { command: 0x2f })];
      for (const header of broken) assert.equal((await greet(world, header)).status, 0);
      assert.equal(await refusedStreams(world, "proxy_header_malformed"), broken.length);
      for (const header of ["PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n", version2("192.0.2.1")]) {
        assert.notEqual((await greet(world, header, { from: "127.0.0.3" })).status, 101);
      }
      assert.equal(await refusedStreams(world, "proxy_header_unexpected"), 2);
      assert.match(world.node.log.text, /address=127\.0\.0\.3:\d+ cause="proxy_header_unexpected"/);
      assert.equal((await greet(world, "", { from: "127.0.0.3" })).status, 101, "it is a client of its own");
    }));

  for (const [word, secure] of [
    ["send-proxy", false],
    ["send-proxy-v2", false],
    ["send-proxy-v2-ssl", false],
  ]) {
    test(`HAProxy with ${word} names its clients`, () =>
      withWorld(ARGS, async (world) => {
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
    server a ${world.node.ready.listen} ${word} source ${PROXY}
`;
        const proxy = await haproxy(block, port);
        try {
          for (const name of ["polling", "websocket"]) {
            for (const from of ["127.0.0.21", "127.0.0.22"]) {
              const what = { url: proxy.url, transports: TRANSPORTS[name], from };
              assert.deepEqual(await seen(world, what), [from, secure]);
            }
          }
        } finally {
          await proxy.stop();
        }
      }));
  }
});
