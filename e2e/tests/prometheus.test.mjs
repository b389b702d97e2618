// The alerts that ship with Trunkline, in the real Prometheus.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { engineUrl } from "../../testing/engine.mjs";
import { request } from "../../testing/stream.mjs";
import { until } from "../../testing/wait.mjs";
import { startNode } from "../harness/node.mjs";
import { Daemon, freePort, nats, program } from "../harness/proxy.mjs";
import { PLAIN } from "../harness/world.mjs";

const RULES = fileURLToPath(new URL("../../deploy/prometheus-rules.yml", import.meta.url));
const CASES = fileURLToPath(new URL("../prometheus_rules.test.yml", import.meta.url));
const PAGE = readFileSync(new URL("../../docs/operate/metrics.md", import.meta.url), "utf8");

const unlessPlain = PLAIN ? test.skip : test;

/** The output of promtool; throws when promtool reports a fault. */
const promtool = (args, input = "") =>
  new Promise((done, fail) => {
    const child = execFile(program("promtool"), args, (error, stdout, stderr) =>
      error ? fail(new Error(stdout + stderr)) : done(stdout + stderr),
    );
    child.stdin.end(input);
  });

unlessPlain("promtool takes the rules, and their cases hold", async () => {
  await promtool(["check", "rules", RULES]);
  await promtool(["test", "rules", CASES]);
});

unlessPlain("every alert has a case and a line in the documentation", () => {
  const alerts = [...readFileSync(RULES, "utf8").matchAll(/alert: (\w+)/g)].map(([, name]) => name);
  assert.ok(alerts.length > 10);
  const cases = readFileSync(CASES, "utf8");
  for (const alert of alerts) {
    assert.ok(cases.includes(`alertname: ${alert}\n`), `a case for ${alert}`);
    assert.ok(PAGE.includes(`| \`${alert}\` |`), `a line for ${alert}`);
  }
});

unlessPlain("what a fresh node exposes is well-formed, and has every series that an alert is about", async () => {
  const broker = await nats();
  const cluster = ["--cluster", "alerts", "--nats", `nats://127.0.0.1:${broker.port}`];
  const node = await startNode({ args: ["--memory-bytes-max", "1GiB", ...cluster] });
  try {
    const text = await (await fetch(`${node.adminUrl}/metrics`, { headers: { accept: "text/plain" } })).text();
    await promtool(["check", "metrics"], text);
    const names = readFileSync(RULES, "utf8").match(/\b(trunkline|process)_\w+/g);
    assert.ok(names.length > 10);
    for (const name of new Set(names)) assert.match(text, new RegExp(`^${name}(\\{.*\\})? `, "m"), name);
  } finally {
    await node.stop();
    await broker.stop();
  }
});

unlessPlain("in a real Prometheus the first refused handshake fires", async () => {
  const node = await startNode();
  const folder = mkdtempSync(join(tmpdir(), "trunkline-prometheus-data-"));
  const port = await freePort();
  let prometheus;
  try {
    const config = `
global: { scrape_interval: 200ms, evaluation_interval: 200ms }
rule_files: ["${RULES}"]
scrape_configs:
  - job_name: trunkline
    static_configs: [{ targets: ["${node.ready.admin}"] }]
`;
    prometheus = await Daemon.start(
      "prometheus",
      () => config,
      port,
      (file) => [`--config.file=${file}`, `--storage.tsdb.path=${folder}`, `--web.listen-address=127.0.0.1:${port}`],
    );
    const ask = async (query) => {
      const answer = await (await fetch(`${prometheus.url}/api/v1/query?query=${encodeURIComponent(query)}`)).json();
      return answer.data.result;
    };
    const scraped = (least) =>
      until(`${least} scrapes`, async () => {
        const [sample] = await ask('count_over_time(trunkline_edge_handshakes_total{outcome="no_app_server"}[1m])');
        return Number(sample?.value[1]) >= least;
      });
    await scraped(2);
    assert.deepEqual(await ask('ALERTS{alertname="TrunklineHandshakesFail"}'), []);
    assert.equal((await request(node.port, "GET", engineUrl())).status, 503);
    const firing = await until("the alert", async () => {
      const found = await ask('ALERTS{alertname="TrunklineHandshakesFail",alertstate="firing"}');
      return found.length > 0 && found;
    });
    assert.equal(firing[0].metric.outcome, "no_app_server");
  } finally {
    await prometheus?.stop();
    await node.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
