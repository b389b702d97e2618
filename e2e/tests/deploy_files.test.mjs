// The files of deploy/: what they say to Trunkline, NATS and HAProxy is right, and their parts fit one another. Neither
// Docker nor Kubernetes runs them here.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { BINARY } from "../harness/node.mjs";
import { program } from "../harness/proxy.mjs";
import { PLAIN } from "../harness/world.mjs";

const unlessPlain = PLAIN ? test.skip : test;
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const textOf = (path) => readFileSync(join(ROOT, path), "utf8");
const KEY = "a key of a test, long enough";

/** What a YAML file says; Bun has the parser. */
function parsed(path) {
  const code = "console.log(JSON.stringify(Bun.YAML.parse(await Bun.stdin.text())))";
  const bun = fileURLToPath(new URL("../node_modules/.bin/bun", import.meta.url));
  const { status, stdout, stderr } = spawnSync(bun, ["-e", code], { input: textOf(path), encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

/** Runs a program over files in a folder of its own; fails with what it said. */
function passes(name, args, files = {}, env = {}) {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-deploy-"));
  try {
    for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text, { mode: 0o600 });
    const { status, stdout, stderr } = spawnSync(name, args(folder), {
      cwd: folder,
      encoding: "utf8",
      env: { PATH: process.env.PATH, ...env },
    });
    assert.equal(status, 0, stdout + stderr);
    return stdout + stderr;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Whether a node starts with these variables and arguments; secret files are `KEY`. */
function nodeTakes(environment, [command, ...args]) {
  assert.equal(command, "serve");
  const folder = mkdtempSync(join(tmpdir(), "trunkline-deploy-"));
  const secret = join(folder, "secret");
  writeFileSync(secret, `${KEY}\n`, { mode: 0o600 });
  const env = Object.entries(environment).map(([name, value]) => [name, value.replace(/^\/run\/secrets\/.*/, secret)]);
  try {
    const said = passes(BINARY, () => ["config", "check", ...args], {}, Object.fromEntries(env));
    assert.doesNotMatch(said, /is no key of Trunkline/, "every variable is a key");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

unlessPlain("compose.yaml: each node starts with its settings, and the parts fit one another", () => {
  const { services, secrets } = parsed("deploy/compose.yaml");
  const nodes = Object.entries(services).filter(([, { image }]) => image === "trunkline");
  assert.equal(nodes.length, 3);
  for (const [name, { environment, secrets: own, build }] of nodes) {
    nodeTakes(environment, ["serve"]);
    assert.equal(environment.TRUNKLINE_NODE_ID, name);
    // In this network a service's name is its address.
    assert.equal(environment.TRUNKLINE_ADVERTISE, `http://${name}:8080`);
    assert.ok(environment.TRUNKLINE_NATS === "nats://nats:4222" && services.nats);
    for (const key of ["TRUNKLINE_KEY_FILE", "TRUNKLINE_CLUSTER_KEY_FILE"])
      assert.ok(own.includes(environment[key].replace("/run/secrets/", "")), key);
    assert.ok(existsSync(join(ROOT, "deploy", build.context, build.dockerfile)));
  }
  for (const [name, service] of Object.entries(services)) {
    for (const one of service.secrets ?? []) assert.ok(secrets[one], `${name}: ${one}`);
    for (const other of service.depends_on ?? []) assert.ok(services[other], `${name} depends on ${other}`);
    for (const volume of service.volumes ?? [])
      assert.ok(existsSync(join(ROOT, "deploy", volume.split(":")[0])), volume);
    const endpoint = service.environment?.TRUNKLINE_ENDPOINT;
    if (endpoint) assert.ok(services[new URL(endpoint).hostname], endpoint);
  }
  assert.throws(
    () => nodeTakes({ ...nodes[0][1].environment, TRUNKLINE_CLUSTER: "no such name!" }, ["serve"]),
    /cluster/,
  );
});

unlessPlain("haproxy.cfg: HAProxy takes it, and it knows the nodes of compose.yaml", () => {
  const text = textOf("deploy/haproxy.cfg");
  const { services } = parsed("deploy/compose.yaml");
  passes(program("haproxy"), () => ["-c", "-f", "haproxy.cfg"], { "haproxy.cfg": text });
  const servers = [...text.matchAll(/^ +server \S+ ([^:\s]+):8080$/gm)].map(([, host]) => host);
  assert.deepEqual(
    servers,
    Object.keys(services).filter((name) => services[name].image === "trunkline"),
  );
  assert.match(text, /balance roundrobin/);
});

/** The value of each variable, as Kubernetes would make it of the given ones. */
function valuesOf(container, given) {
  const values = new Map();
  const filled = (text) => text.replace(/\$\((\w+)\)/g, (_, name) => values.get(name) ?? assert.fail(`$(${name})`));
  for (const { name, value, valueFrom } of container.env) {
    values.set(name, value === undefined ? given(name, valueFrom) : filled(value));
  }
  return { environment: Object.fromEntries(values), filled };
}

unlessPlain("kubernetes.yaml: nodes and NATS start with their settings, and the parts fit one another", () => {
  const objects = parsed("deploy/kubernetes.yaml");
  const named = (kind, name) =>
    objects.find((one) => one.kind === kind && one.metadata.name === name) ?? assert.fail(`${kind} ${name}`);
  const secretKeys = new Set(["hub.key", "cluster.key", "nats-password"]);
  const given = (name, { fieldRef, secretKeyRef }) => {
    if (secretKeyRef) {
      assert.ok(secretKeyRef.name === "trunkline" && secretKeys.has(secretKeyRef.key), name);
      return "pAssw0rd-of_a-test";
    }
    const fields = { "metadata.name": "trunkline-nats-0", "status.podIP": "10.1.2.3" };
    return fields[fieldRef.fieldPath] ?? assert.fail(fieldRef.fieldPath);
  };

  const nodes = named("Deployment", "trunkline").spec;
  const [node] = nodes.template.spec.containers;
  const { environment } = valuesOf(node, given);
  const ours = Object.fromEntries(Object.entries(environment).filter(([name]) => name.startsWith("TRUNKLINE_")));
  nodeTakes(ours, node.args);
  assert.equal(ours.TRUNKLINE_ADVERTISE, "http://10.1.2.3:8080");
  const seconds = (text) => Number(/^(\d+)s$/.exec(text)[1]);
  const leaving = seconds(ours.TRUNKLINE_DRAIN_WAIT) + seconds(ours.TRUNKLINE_DRAIN);
  assert.ok(nodes.template.spec.terminationGracePeriodSeconds > leaving, "a node has the time to leave");
  assert.ok(node.livenessProbe.timeoutSeconds > 5, "/livez answers within 5 s");
  for (const [probe, path] of [
    ["readinessProbe", "/readyz"],
    ["livenessProbe", "/livez"],
  ]) {
    assert.equal(node[probe].httpGet.path, path);
    assert.ok(
      node.ports.some(({ name }) => name === node[probe].httpGet.port),
      probe,
    );
  }
  const mounted = node.volumeMounts.map(({ mountPath }) => mountPath);
  for (const key of ["TRUNKLINE_KEY_FILE", "TRUNKLINE_CLUSTER_KEY_FILE"]) {
    const folder = mounted.find((one) => ours[key].startsWith(`${one}/`)) ?? assert.fail(ours[key]);
    assert.ok(secretKeys.has(ours[key].slice(folder.length + 1)), key);
  }

  const nats = named("StatefulSet", "trunkline-nats").spec;
  const [server] = nats.template.spec.containers;
  const own = valuesOf(server, given);
  const config = named("ConfigMap", "trunkline-nats").data["nats.conf"];
  const flags = server.args.map(own.filled).map((flag) => flag.replace("/etc/nats/", ""));
  passes(program("nats-server"), () => ["-t", ...flags], { "nats.conf": config }, own.environment);
  const hosts = (text) => [...text.matchAll(/@([\w-]+\.[\w-]+):(\d+)/g)].map(([, host, port]) => `${host}:${port}`);
  const servers = (port) => [0, 1, 2].map((number) => `trunkline-nats-${number}.${nats.serviceName}:${port}`);
  assert.deepEqual(hosts(ours.TRUNKLINE_NATS), servers(4222));
  assert.deepEqual(hosts(flags.find((flag) => flag.startsWith("--routes"))), servers(6222));
  assert.equal(nats.replicas, servers(0).length);

  for (const { kind, metadata, spec } of objects) {
    assert.ok(metadata.labels.app, `${kind} ${metadata.name} has its label`);
    const selected =
      spec?.selector?.matchLabels ?? (kind === "Service" ? spec.selector : spec?.podSelector?.matchLabels);
    if (selected) {
      const fits = objects.some((one) => one.spec?.template?.metadata.labels.app === selected.app);
      assert.ok(fits, `${kind} ${metadata.name} selects pods that exist`);
    }
    if (kind === "Service") assert.equal(spec.sessionAffinity, undefined, "no sticky sessions");
  }
  const autoscaler = named("HorizontalPodAutoscaler", "trunkline").spec;
  assert.ok(named(autoscaler.scaleTargetRef.kind, autoscaler.scaleTargetRef.name));
  const { metric } = autoscaler.metrics[0].pods;
  assert.match(textOf("docs/operate/metrics.md"), new RegExp(`\`${metric.name}\``), "the autoscaler's metric exists");
});

unlessPlain("Dockerfile: what it copies and needs is there, and let through", () => {
  const text = textOf("deploy/Dockerfile");
  const { version } = /rust:(?<version>[\d.]+)-/.exec(text).groups;
  assert.equal(version, /^rust-version = "([\d.]+)"/m.exec(textOf("Cargo.toml"))[1], "the Rust of the workspace");
  const through = textOf("deploy/Dockerfile.dockerignore")
    .split("\n")
    .filter((line) => line.startsWith("!"))
    .map((line) => line.slice(1));
  for (const path of through) assert.ok(existsSync(join(ROOT, path)), path);
  const isThrough = (path) => through.some((one) => path === one || path.startsWith(`${one}/`));
  const { packages } = JSON.parse(
    spawnSync("cargo", ["metadata", "--no-deps", "--offline", "--format-version=1"], {
      cwd: ROOT,
      encoding: "utf8",
      maxBuffer: 1 << 26,
    }).stdout,
  );
  for (const { manifest_path } of packages) {
    const path = manifest_path.slice(ROOT.length);
    assert.ok(isThrough(path), `${path} is a member of the workspace`);
  }
  // Files that the binary contains; those of tests do not matter.
  const included = spawnSync("git", ["grep", "-nE", 'include_(str|bytes)!\\("', "--", "crates/*/src/*.rs"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  for (const [, file, name] of included.stdout.matchAll(/^([^:]+):\d+:.*include_(?:str|bytes)!\("([^"]+)"\)/gm)) {
    if (/tests?\b|known\.rs/.test(file)) continue;
    const path = join(file, "..", name);
    assert.ok(isThrough(path), `${file} includes ${path}`);
  }
});
