// How nodes prove to NATS who they are, and NATS to them.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { nats as startNats } from "../../testing/daemon.mjs";
import { credentials } from "../../testing/nats_credentials.mjs";
import { until } from "../../testing/wait.mjs";
import { clusterName, complete, startMember } from "../harness/members.mjs";
import { startNode } from "../harness/node.mjs";
import { PLAIN } from "../harness/world.mjs";

const unlessPlain = PLAIN ? test.skip : test;
const logged = (node, pattern) => until(`a line like ${pattern}`, () => node.log.count(pattern) > 0);

/** An authority, and a certificate of it for this machine. */
function certificates(folder) {
  const openssl = (...args) => {
    const { status, stderr } = spawnSync("openssl", args, { cwd: folder, encoding: "utf8" });
    assert.equal(status, 0, stderr);
  };
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl("req", "-x509", ...key, "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem");
  openssl("req", ...key, "-subj", "/CN=nats", "-keyout", "server.key", "-out", "server.csr");
  writeFileSync(join(folder, "more"), "subjectAltName=IP:127.0.0.1\n");
  const authority = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
  openssl("x509", "-req", "-in", "server.csr", "-out", "server.pem", ...authority, "-days", "2", "-extfile", "more");
}

/** Runs `act` with a folder for files and a list of what is to be stopped. */
async function withFolder(act) {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-credentials-"));
  const started = [];
  try {
    await act(folder, started);
  } catch (error) {
    error.message += `\n${started.map(({ log }) => log.text).join("\n")}`;
    throw error;
  } finally {
    await Promise.all(started.map((one) => one.stop("SIGKILL")));
    rmSync(folder, { recursive: true, force: true });
  }
}

unlessPlain("a credentials file lets a node in; it is read again for each connection, and never shown", async () => {
  await withFolder(async (folder, started) => {
    const { config, file, seed } = credentials();
    const nats = await startNats(config);
    started.push(nats);
    const path = join(folder, "node.creds");
    writeFileSync(path, credentials().file, { mode: 0o600 });
    const cluster = clusterName();
    const args = ["--nats-credentials-file", path];
    const node = await startMember(nats, cluster, { args });
    started.push(node);
    await logged(node, /NATS refuses this node \(authorization violation\)/);
    writeFileSync(path, file);
    await complete([node]);
    const without = await startMember(nats, cluster);
    started.push(without);
    await logged(without, /NATS refuses this node/);
    await complete([node]);
    assert.ok(!node.log.text.includes(seed));
    // A file that was broken meanwhile is named.
    writeFileSync(path, "nonsense");
    await nats.stop();
    await logged(node, /nats_credentials_file `.*node.creds` cannot be used/);
  });
});

unlessPlain(
  "a certificate of an authority that nobody trusts is named, with the key that names the authority",
  async () => {
    await withFolder(async (folder, started) => {
      certificates(folder);
      const nats = await startNats(`tls { cert_file: "${folder}/server.pem", key_file: "${folder}/server.key" }`);
      started.push(nats);
      const cluster = clusterName();
      const start = (scheme, ...more) => {
        const args = ["--cluster", cluster, "--nats", `${scheme}://127.0.0.1:${nats.port}`, ...more];
        return startNode({ threads: 1, args });
      };
      const distrustful = await start("tls");
      started.push(distrustful);
      await logged(distrustful, /no TLS with NATS \(.*certificate.*\); nats_ca_file names the authority/);
      const trustful = await start("nats", "--nats-ca-file", join(folder, "ca.pem"));
      started.push(trustful);
      await complete([trustful]);
    });
  },
);
