// TLS on the public port: real clients, versions, resumption, names, and what has to wait inside a record.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { request } from "node:https";
import { connect as connectPlain, createServer } from "node:net";
import { join } from "node:path";
import { after } from "node:test";
import { connect } from "node:tls";
import { until } from "../../testing/wait.mjs";
import { Authority } from "../harness/certificates.mjs";
import { inWorld } from "../harness/test.mjs";
import { PLAIN, TRANSPORTS } from "../harness/world.mjs";

const authority = PLAIN ? undefined : new Authority();
after(() => authority?.remove());
const own = authority?.sign("own", { names: ["localhost", "127.0.0.1"] });
authority?.sign("chat", { names: ["chat.test", "*.chat.test"] });
const file = PLAIN ? "" : join(authority.folder, "trunkline.toml");
if (!PLAIN) {
  const table = `[hub.chat]\nkeys = ["the-key-of-hub-chat"]\ntls_cert_file = "chat.pem"\ntls_key_file = "chat.key"\n`;
  writeFileSync(file, `tls_cert_file = "own.pem"\ntls_key_file = "own.key"\n${table}`);
}
const args = ["--config", file, "--trunk-listen", "127.0.0.1:0"];
const ca = authority?.pem;

const secure = (world) => `https://localhost:${world.node.port}`;
const client = (world, options) => world.client("/", { ca, ...options }, secure(world));
const start = (world, options) =>
  world.startApp({ name: "amber", trunkline: { endpoint: `http://${world.node.ready.trunk_listen}` }, options });
const refused = async (world, cause) =>
  (await world.node.metrics()).get(`trunkline_edge_streams_refused_total{cause="${cause}"}`);

/** A TLS connection, open. */
async function open(world, options = {}) {
  const socket = connect({ port: world.node.port, host: "127.0.0.1", servername: "localhost", ca, ...options });
  socket.on("error", () => {});
  await once(socket, "secureConnect");
  return socket;
}
/** The error code with which a TLS connection fails. */
async function failure(world, options) {
  const socket = connect({ port: world.node.port, host: "127.0.0.1", servername: "localhost", ca, ...options });
  const [error] = await once(socket, "error");
  return error.code;
}
/** Everything that arrives until the peer ends. */
async function rest(socket) {
  const chunks = [];
  socket.on("data", (chunk) => chunks.push(chunk));
  await new Promise((done) => socket.on("end", done).on("close", done));
  return Buffer.concat(chunks).toString("latin1");
}

/** A relay for bytes: `alone`, each by itself; without `ends`, an end is not passed on. */
async function relayTo(port, { alone = false, ends = true } = {}) {
  const relay = createServer({ allowHalfOpen: true }, (inner) => {
    const outer = connectPlain({ port, host: "127.0.0.1", noDelay: true });
    const queue = [];
    let busy = false;
    const next = () => {
      busy = queue.length > 0;
      if (busy) outer.write(queue.shift(), () => setImmediate(next));
    };
    inner.on("data", (chunk) => {
      if (!alone) return void outer.write(chunk);
      for (const byte of chunk) queue.push(Buffer.from([byte]));
      if (!busy) next();
    });
    outer.on("data", (chunk) => inner.write(chunk));
    outer.on("end", () => inner.end()).on("error", () => {});
    inner.on("error", () => {});
    if (ends) inner.on("close", () => outer.destroy());
  });
  relay.listen(0, "127.0.0.1");
  await once(relay, "listening");
  return relay.unref();
}

inWorld("a port with TLS", { servers: [], args, trunklineOnly: true }, (check) => {
  check("serves every transport", async (world) => {
    await start(world, { maxHttpBufferSize: 2e7 });
    for (const transports of Object.values(TRANSPORTS)) {
      const one = await client(world, transports);
      assert.deepEqual(await one.emitWithAck("echo", Buffer.from("b")), Buffer.from("b"));
      assert.equal(await one.emitWithAck("server"), "amber");
    }
    const metrics = await world.node.metrics();
    assert.equal(metrics.get('trunkline_edge_tls_handshakes_total{outcome="full"}') > 0, true);
    assert.equal(metrics.get("trunkline_edge_greetings"), 0);
  });

  check("carries messages that are longer than records, sockets' buffers and turns", async (world) => {
    const big = Buffer.alloc(9_000_000, "0123456789abcdef");
    for (const transports of [TRANSPORTS.websocket, TRANSPORTS.polling]) {
      const one = await client(world, transports);
      assert.equal(Buffer.compare(await one.emitWithAck("echo", big), big), 0);
      // Many small ones, so that records hold several frames and frames cross records.
      const texts = Array.from({ length: 3000 }, (_, index) => `${index}:${"x".repeat(index % 700)}`);
      const got = [];
      one.on("repeat", (text) => got.push(text));
      for (const text of texts) one.emit("repeat", text);
      await until("all of them", () => got.length === texts.length);
      assert.deepEqual(got, texts);
    }
  });

  check("speaks TLS 1.2 and 1.3 and nothing older, and HTTP/1.1 only", async (world) => {
    for (const version of ["TLSv1.2", "TLSv1.3"]) {
      const socket = await open(world, { minVersion: version, maxVersion: version, ALPNProtocols: ["h2", "http/1.1"] });
      assert.deepEqual([socket.getProtocol(), socket.alpnProtocol], [version, "http/1.1"]);
      socket.write("GET /nowhere HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
      assert.match(await rest(socket), /404 Not Found.*path_unknown/s);
    }
    const before = await refused(world, "tls_incompatible");
    const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" };
    assert.match(await failure(world, old), /ALERT/);
    assert.match(await failure(world, { ALPNProtocols: ["h2"] }), /NO_APPLICATION_PROTOCOL|ECONNRESET/);
    assert.equal(await refused(world, "tls_incompatible"), before + 2);
  });

  check("resumes sessions, with a ticket that the client keeps", async (world) => {
    for (const version of ["TLSv1.2", "TLSv1.3"]) {
      const versions = { minVersion: version, maxVersion: version };
      const first = await open(world, versions);
      let session = first.getSession();
      first.on("session", (ticket) => {
        session = ticket;
      });
      first.write("GET /nowhere HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
      await rest(first);
      const second = await open(world, { ...versions, session });
      assert.equal(second.isSessionReused(), true, version);
      second.write("GET /nowhere HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
      await rest(second);
    }
    const metrics = await world.node.metrics();
    assert.equal(metrics.get('trunkline_edge_tls_handshakes_total{outcome="resumed"}'), 2);
  });

  check("has a certificate for each hub's names, and its own for all others", async (world) => {
    const table = [
      ["chat.test", "chat"],
      ["EU.chat.test", "chat"],
      ["a.b.chat.test", "own"],
      ["elsewhere.test", "own"],
      ["", "own"],
    ];
    for (const [servername, name] of table) {
      const socket = await open(world, { servername, rejectUnauthorized: false, checkServerIdentity: () => undefined });
      assert.equal(socket.getPeerCertificate().subject.CN, name, servername);
      socket.destroy();
    }
    assert.equal(await failure(world, { servername: "elsewhere.test" }), "ERR_TLS_CERT_ALTNAME_INVALID");
    const before = await refused(world, "tls_refused_by_client");
    // Node.js looks at the certificate after the handshake; openssl refuses it in the middle.
    const asked = [
      "s_client",
      "-verify_return_error",
      "-CAfile",
      own.certFile,
      "-connect",
      `127.0.0.1:${world.node.port}`,
    ];
    await new Promise((done) => execFile("openssl", asked, done).stdin.end());
    await until("it is counted", async () => (await refused(world, "tls_refused_by_client")) > before);
  });

  check("answers a request without TLS in plain words", async (world) => {
    const answer = await fetch(`http://127.0.0.1:${world.node.port}/socket.io/?EIO=4&transport=polling`);
    const { error, message } = await answer.json();
    assert.deepEqual([answer.status, error], [400, "tls_required"]);
    assert.match(message, /https/);
    assert.equal(await refused(world, "tls_required"), 1);
    assert.equal(world.node.log.count(/a request without TLS on a port with TLS/), 1);
  });

  check("takes records in pieces of one byte, and several requests in one record", async (world) => {
    const relay = await relayTo(world.node.port, { alone: true });
    const socket = await open(world, { port: relay.address().port });
    const one = "GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n";
    socket.write(one + one + one.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n"));
    assert.equal((await rest(socket)).match(/404 Not Found/g).length, 3);
    relay.close();
  });

  check("notices an end that arrives as a message only", async (world) => {
    // The relay passes the message on and keeps TCP open in both directions.
    const relay = await relayTo(world.node.port, { ends: false });
    const url = `https://localhost:${relay.address().port}`;
    const one = await world.client("/", { ca, ...TRANSPORTS.websocket }, url);
    const id = one.id;
    const noted = world.app("amber").noted("disconnect", (note) => note.id === id);
    one.io.engine.transport.ws._socket.end();
    assert.match((await noted).reason, /transport (close|error)/);
    relay.close();
  });

  check("keeps a connection for the next request", async (world) => {
    const socket = await open(world);
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
    });
    for (let count = 1; count <= 3; count += 1) {
      socket.write("GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n");
      await until("an answer", () => text.split("path_unknown").length - 1 === count);
    }
    socket.destroy();
  });

  check("closes what is no handshake, and goes on", async (world) => {
    const before = await refused(world, "tls_malformed");
    const hello = Buffer.concat([Buffer.from([22, 3, 1, 0x40, 0]), Buffer.alloc(0x4000, 1)]);
    const bad = [
      Buffer.from([22, 3, 1, 0, 6, 1, 0, 0, 2, 9, 9]),
      Buffer.from([22, 3, 1, 0, 5, 9, 9, 9, 9, 9]),
      hello,
      // The largest ClientHello, of which nothing is true.
      Buffer.concat([
        Buffer.from([22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff]),
        Buffer.alloc(0x3ffc),
        hello,
        hello,
        hello,
        hello,
      ]),
    ];
    for (const [index, bytes] of bad.entries()) {
      const socket = connectPlain(world.node.port, "127.0.0.1");
      socket.on("error", () => {});
      socket.write(bytes);
      const answer = Buffer.from(await rest(socket), "latin1");
      if (index === 0) assert.deepEqual([...answer], [21, 3, 3, 0, 2, 2, 50], "an alert: decode_error");
    }
    assert.equal(await refused(world, "tls_malformed"), before + bad.length);
    // One that stops in the middle is left alone until its time is over; others are served.
    const half = connectPlain(world.node.port, "127.0.0.1");
    half.write(Buffer.from([22, 3, 1]));
    assert.equal(await (await client(world, TRANSPORTS.websocket)).emitWithAck("server"), "amber");
    half.destroy();
  });

  check("refuses renegotiation", async (world) => {
    const socket = await open(world, { maxVersion: "TLSv1.2" });
    const ended = rest(socket);
    const again = socket.renegotiate({}, () => {});
    if (again) await ended;
    socket.destroy();
    assert.equal(await (await client(world, TRANSPORTS.websocket)).emitWithAck("server"), "amber");
  });
});

inWorld("a port without TLS", { servers: [], trunklineOnly: true }, (check) => {
  check("refuses a TLS handshake with an alert, and says so in the log", async (world) => {
    const asked = request({ port: world.node.port, host: "127.0.0.1" });
    const [error] = await once(asked, "error");
    assert.match(error.code, /HANDSHAKE_FAILURE|EPROTO/);
    assert.match(error.message, /handshake failure/);
    assert.equal(await refused(world, "tls_unexpected"), 1);
    await until("the line in the log", () => world.node.log.count(/a TLS handshake on a port without TLS/) === 1);
  });
});

const denied = PLAIN ? "" : join(authority.folder, "denied.txt");
if (!PLAIN) writeFileSync(denied, "127.0.0.7\n");
const few = ["--config", file, "--deny-file", denied];
inWorld("a port with TLS that cannot serve a stream", { servers: [], args: few, trunklineOnly: true }, (check) => {
  check("says so with an alert, whose handshake nobody has paid for", async (world) => {
    assert.match(world.node.log.text, /io\("https:\/\/127\.0\.0\.1:\d+"\)/, "the first words name the right scheme");
    assert.equal(await failure(world, { localAddress: "127.0.0.7" }), "ERR_SSL_TLSV1_ALERT_ACCESS_DENIED");
    assert.equal(await refused(world, "address_denied"), 1);
  });
});

const short = ["--config", file, "--tls-handshake-timeout", "1s", "--tls-handshakes-max", "4"];
inWorld("handshakes that never end", { servers: [], args: short, trunklineOnly: true }, (check) => {
  check("are bounded in number and time, and others get through", async (world) => {
    const strangers = Array.from({ length: 40 }, (_, index) => {
      const socket = connectPlain(world.node.port, "127.0.0.1");
      socket.on("error", () => {});
      if (index % 2) socket.write(Buffer.from([22, 3, 1, 2]));
      return socket.resume();
    });
    const socket = await open(world);
    socket.destroy();
    await until("all are closed", () => strangers.every((one) => one.closed));
    const causes = await Promise.all(["greetings_full", "greeting_timeout"].map((cause) => refused(world, cause)));
    assert.equal(causes[0] + causes[1], 40);
    assert.equal((await world.node.metrics()).get("trunkline_edge_greetings"), 0);
  });
});
