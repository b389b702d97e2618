// Certificates of ports: which files are taken, what is said about the others, and certificates of app servers.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import test, { after } from "node:test";
import { until } from "../../testing/wait.mjs";
import { Authority } from "../harness/certificates.mjs";
import { BINARY } from "../harness/node.mjs";
import { withWorld } from "../harness/test.mjs";
import { PLAIN } from "../harness/world.mjs";

const authority = PLAIN ? undefined : new Authority();
const stranger = PLAIN ? undefined : new Authority();
after(() => {
  authority?.remove();
  stranger?.remove();
});
const good = authority?.sign("good", { names: ["localhost"] });
const ca = authority?.pem;

/** What `trunkline config print` says about a configuration that it does not take. */
const mistakes = (args) =>
  new Promise((done) => {
    const env = { PATH: process.env.PATH, TRUNKLINE_KEY: "0123456789abcdef" };
    execFile(BINARY, ["config", "print", ...args], { env, cwd: authority.folder }, (error, _, said) =>
      done(error ? said : ""),
    );
  });
const files = (cert, key) => ["--tls-cert-file", cert, "--tls-key-file", key];

test("files that cannot be used are told apart", { skip: PLAIN }, async () => {
  const expired = authority.sign("expired", { days: -1 });
  const other = authority.sign("other");
  const words = join(authority.folder, "words.pem");
  writeFileSync(words, "no PEM\n");
  const hubs = join(authority.folder, "hubs.toml");
  const table = (hub, name) =>
    `[hub.${hub}]\nkeys = ["0123456789abcdef"]\ntls_cert_file = "${name}.pem"\ntls_key_file = "${name}.key"\n`;
  const top = `tls_cert_file = "good.pem"\ntls_key_file = "good.key"\n`;
  writeFileSync(hubs, `${top}${table("a", "good")}${table("b", "other")}`);
  const alone = join(authority.folder, "alone.toml");
  writeFileSync(alone, table("a", "good"));
  const table_of_cases = [
    [files(expired.certFile, expired.keyFile), /tls_cert_file.*`.*expired\.pem` has expired/s],
    [
      files(good.certFile, other.keyFile),
      /tls_key_file.*the key in `.*other\.key` is not the key of the certificate in `.*good\.pem`/s,
    ],
    [files(words, good.keyFile), /tls_cert_file.*words\.pem` holds no certificate/s],
    [files(good.certFile, words), /tls_key_file.*words\.pem` holds no private key/s],
    [files(good.certFile, "nowhere.key"), /tls_key_file.*nowhere\.key` cannot be read/s],
    [["--tls-cert-file", good.certFile], /tls_cert_file.*is set without `tls_key_file`/s],
    [["--trunk-tls-cert-file", good.certFile, "--trunk-tls-key-file", good.keyFile], /is set without `trunk_listen`/],
    [
      ["--trunk-listen", "127.0.0.1:0", "--trunk-client-ca-file", authority.file],
      /is set without `trunk_tls_cert_file`/,
    ],
    [["--config", hubs], /hub\.b\.tls_cert_file.*`localhost` is a name in the certificate of/s],
    [["--config", alone], /hub\.a\.tls_cert_file.*is set without `tls_cert_file`/s],
  ];
  for (const [args, expected] of table_of_cases) assert.match(await mistakes(args), expected);
  assert.equal(await mistakes(files(good.certFile, good.keyFile)), "");
});

const soon = authority?.sign("soon", { names: ["localhost"], days: 3 });
const admin = ["--admin-tls-cert-file", soon?.certFile, "--admin-tls-key-file", soon?.keyFile];
test("a certificate that expires soon is a warning and a metric; the admin port has TLS, too", {
  skip: PLAIN,
}, async () => {
  const { startNode } = await import("../harness/node.mjs");
  const node = await startNode({ args: admin });
  try {
    const get = (options) =>
      new Promise((done, fail) => {
        const asked = request(`https://localhost:${node.ready.admin.split(":")[1]}/metrics`, options, (answer) => {
          const chunks = [];
          answer.on("data", (chunk) => chunks.push(chunk)).on("end", () => done(Buffer.concat(chunks).toString()));
        });
        asked.on("error", fail).end();
      });
    const metrics = await get({ ca });
    const [, ends] = metrics.match(
      /^trunkline_tls_certificate_expiry_timestamp_seconds\{port="admin",file="soon.pem"\} (\d+)$/m,
    );
    assert.equal(Math.round((Number(ends) - Date.now() / 1000) / 86_400), 3);
    assert.equal(node.log.count(/soon\.pem` expires in/), 1);
    const plain = await fetch(`http://${node.ready.admin}/metrics`);
    assert.deepEqual([plain.status, (await plain.json()).error], [400, "tls_required"]);
  } finally {
    await node.stop();
  }
});

const trunks = [
  "--trunk-listen",
  "127.0.0.1:0",
  "--trunk-tls-cert-file",
  good?.certFile,
  "--trunk-tls-key-file",
  good?.keyFile,
];
const mutual = { servers: [], trunklineOnly: true, args: [...trunks, "--trunk-client-ca-file", authority?.file] };
withWorld("app servers need a certificate where the node knows the authority", mutual, async (world) => {
  const endpoint = `https://localhost:${world.node.ready.trunk_listen.split(":")[1]}`;
  const refused = async () =>
    (await world.node.metrics()).get('trunkline_edge_streams_refused_total{cause="tls_client_certificate"}');
  const { cert, key } = authority.sign("app");
  const forged = stranger.sign("app");
  for (const tls of [{ ca }, { ca, cert: forged.cert, key: forged.key }]) {
    const before = await refused();
    const app = await world.startApp({ name: "stranger", trunkline: { endpoint, tls }, ready: false });
    await until("a refusal", async () => (await refused()) > before);
    await app.stop();
  }
  await world.startApp({ name: "amber", trunkline: { endpoint, tls: { ca, cert, key } } });
  const client = await world.client("/", { transports: ["websocket"] });
  assert.equal(await client.emitWithAck("server"), "amber");
  const big = Buffer.alloc(900_000, "abc");
  assert.equal(Buffer.compare(await client.emitWithAck("echo", big), big), 0);
});
