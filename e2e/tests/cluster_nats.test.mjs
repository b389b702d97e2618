// The NATS of docs/operate/cluster.md: three servers with TLS and passwords.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { engineUrl, PollingSession } from "../../testing/engine.mjs";
import { Daemon } from "../../testing/daemon.mjs";
import { request } from "../../testing/stream.mjs";
import { until } from "../../testing/wait.mjs";
import { startApp } from "../harness/app.mjs";
import { figure } from "../harness/cluster.mjs";
import { startNode } from "../harness/node.mjs";
import { adapted, freePort } from "../harness/proxy.mjs";
import { PLAIN } from "../harness/world.mjs";

const unlessPlain = PLAIN ? test.skip : test;
const PAGE = readFileSync(new URL("../../docs/operate/cluster.md", import.meta.url), "utf8");
const SERVERS = ["10.0.0.21", "10.0.0.22", "10.0.0.23"];

/** The block of the page that contains this line. */
function block(line) {
  const found = [...PAGE.matchAll(/^```\w+\n([\s\S]*?)^```$/gm)].find(([, text]) => text.includes(line));
  return found[1];
}

function openssl(args, folder) {
  const { status, stderr } = spawnSync("openssl", args, { cwd: folder, encoding: "utf8" });
  assert.equal(status, 0, stderr);
}

/** An authority, and a certificate of it for this machine. */
function certificates(folder) {
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  openssl(["req", "-x509", ...key, "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem"], folder);
  openssl(["req", ...key, "-subj", "/CN=nats", "-keyout", "server.key", "-out", "server.csr"], folder);
  writeFileSync(join(folder, "more"), "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n");
  const signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "more"];
  openssl(["x509", "-req", "-in", "server.csr", "-out", "server.pem", ...signed], folder);
}

unlessPlain("the page's NATS: three servers with TLS and passwords, of which one is killed", async () => {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-nats-"));
  const [servers, nodes] = [[], []];
  let app;
  try {
    certificates(folder);
    const [ports, routes] = [[], []];
    for (const _ of SERVERS) {
      ports.push(await freePort());
      routes.push(await freePort());
    }
    for (const [index, port] of ports.entries()) {
      const config = adapted(block("server_name: nats-1"), [
        ["server_name: nats-1", `server_name: nats-${index + 1}`],
        ["port: 4222", `host: 127.0.0.1\nport: ${port}`],
        ["port: 6222", `host: 127.0.0.1\n  port: ${routes[index]}`],
        ...SERVERS.map((address, at) => [`${address}:6222`, `127.0.0.1:${routes[at]}`]),
        ["/etc/nats/", `${folder}/`, 5],
      ]);
      servers.push(
        await Daemon.start(
          "nats-server",
          () => config,
          port,
          (file) => ["--config", file],
        ),
      );
    }
    writeFileSync(join(folder, "cluster.key"), "a key that nodes of a test share\n", { mode: 0o600 });
    for (let number = 0; number < 2; number += 1) {
      const listen = `127.0.0.1:${await freePort()}`;
      const config = join(folder, `node-${number}.toml`);
      const text = adapted(block('cluster = "chat"'), [
        ...SERVERS.map((address, at) => [`${address}:4222`, `127.0.0.1:${ports[at]}`]),
        ["/etc/trunkline/nats-ca.pem", join(folder, "ca.pem")],
        ["/run/secrets/cluster", join(folder, "cluster.key")],
        ["http://10.0.0.11:8080", `http://${listen}`],
      ]);
      writeFileSync(config, text, { mode: 0o600 });
      nodes.push(await startNode({ listen, args: ["--config", config] }));
    }
    const together = async () => {
      for (const node of nodes) {
        if ((await fetch(`${node.adminUrl}/readyz`)).status !== 200) return false;
        if ((await figure(node, "trunkline_mesh_peers", 'presence="up"')) !== 1) return false;
      }
      return true;
    };
    await until("two nodes that know one another", together);
    app = await startApp({ trunkline: { endpoint: nodes[0].url } });
    await until("trunks", async () => (await figure(nodes[1], "trunkline_trunks")) === 1);

    const session = await PollingSession.open(nodes[0].port, { join: true });
    const elsewhere = engineUrl({ sid: session.sid });
    const repeat = async (number) => {
      const headers = { "content-type": "text/plain;charset=UTF-8" };
      const sent = await request(nodes[1].port, "POST", elsewhere, { headers, body: `42${number}["echo",${number}]` });
      assert.deepEqual([sent.status, sent.body], [200, "ok"]);
      let heard = "";
      while (!heard.includes(`43${number}[`)) {
        const answer = await request(nodes[1].port, "GET", elsewhere);
        assert.equal(answer.status, 200, answer.body);
        heard += answer.body;
      }
    };
    await repeat(1);
    for (const [index, server] of servers.entries()) {
      if (index === 2) break;
      await server.stop("SIGKILL");
      await repeat(2 + index);
    }
    await until("everybody at the server that is left", together);
  } catch (error) {
    for (const { log } of [...nodes, ...servers]) error.stack += `\n${log.text.split("\n").slice(-30).join("\n")}`;
    throw error;
  } finally {
    await app?.stop();
    await Promise.all(nodes.map((node) => node.stop("SIGKILL")));
    await Promise.all(servers.map((server) => server.stop("SIGKILL")));
    rmSync(folder, { recursive: true, force: true });
  }
});
