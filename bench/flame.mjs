// Shows where CPU time goes: records the node or its app server under a load, for a flame graph. Needs perf
// (linux-perf) and inferno (`cargo install inferno`); records only processes that it started itself.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { parseArgs } from "node:util";

import { generate } from "./lib/generator.mjs";
import { startApp, startTrunkline } from "./lib/servers.mjs";

const root = new URL("..", import.meta.url).pathname;
const target = new URL("../target/release/trunkline", import.meta.url).pathname;
const { values: options } = parseArgs({
  options: {
    load: { type: "string", default: "fanout" },
    of: { type: "string", default: "node" },
    title: { type: "string" },
    // The SVG to write. The recording stays next to it, as FILE.perf.
    svg: { type: "string" },
    // Only records; the same command with --draw makes the picture later, when the machine may be busy again.
    record: { type: "boolean", default: false },
    draw: { type: "boolean", default: false },
    trunkline: { type: "string", default: target },
    generator: { type: "string", default: target },
    app: { type: "string" },
    seconds: { type: "string", default: "5" },
  },
});

/** The load of the clients, and the milliseconds before the recording begins. */
const LOADS = {
  fanout: { args: ["fanout", "--clients", 9_000, "--warmup", 3, "--duration", 8], after: 5_000 },
  echo: { args: ["echo", "--clients", 1_000, "--warmup", 2, "--duration", 8], after: 3_000 },
  // Recorded from the first client on, because connecting is the load.
  handshakes: { args: ["idle", "--clients", 9_000, "--duration", 3], after: 0 },
};

/** Rust code has no frame pointers; code that V8 compiles has only frame pointers. */
const CALL_GRAPHS = { node: "dwarf,16384", app: "fp" };

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

function check() {
  if (!LOADS[options.load]) fail(`no load ${options.load}; there are: ${Object.keys(LOADS).join(", ")}`);
  if (!CALL_GRAPHS[options.of]) fail(`--of is ${Object.keys(CALL_GRAPHS).join(" or ")}, not ${options.of}`);
  if (!options.svg) fail("--svg FILE: where the flame graph shall go");
  if (!existsSync(options.trunkline)) fail(`there is no ${options.trunkline}; it needs \`cargo build --release\``);
  if (spawnSync("perf", ["--version"]).error) fail("perf is missing; it needs `apt-get install linux-perf`");
}

async function record(file) {
  const { args, after } = LOADS[options.load];
  const node = await startTrunkline(options.trunkline, options.load === "fanout" ? ["--threads", 1] : []);
  const environment = { TRUNKLINE_ENDPOINT: node.url, NODE_OPTIONS: "--perf-basic-prof" };
  const app = await startApp(environment, options.app).catch(
    async (error) => (await node.stop(), Promise.reject(error)),
  );
  try {
    // The compiler must have done its work before, as in a server that has run for a while.
    await generate(options.generator, { urls: [node.url], processes: [] }, [
      "echo",
      "--clients",
      500,
      "--warmup",
      0,
      "--duration",
      3,
      "--quiet",
    ]);
    const load = generate(options.generator, { urls: [node.url], processes: [] }, [...args, "--quiet"]);
    await wait(after);
    const pid = { node, app }[options.of].pid;
    const perf = ["record", "-q", "-F", "499", "--call-graph", CALL_GRAPHS[options.of], "-p", String(pid), "-o", file];
    const recorder = spawn("perf", [...perf, "--", "sleep", options.seconds], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    await Promise.all([load, new Promise((resolve) => recorder.on("exit", resolve))]);
  } finally {
    await app.stop();
    await node.stop();
  }
}

function pipe(program, args, input) {
  const done = spawnSync(program, args, { input, maxBuffer: 2 ** 30 });
  if (done.error || done.status !== 0) fail(`${program} failed: ${done.error?.message ?? done.stderr}`);
  return done.stdout;
}

function draw(file) {
  const stacks = pipe("perf", ["script", "--no-inline", "-i", file]);
  // Names the project's code from its root, wherever that is.
  const folded = pipe("inferno-collapse-perf", [], stacks)
    .toString()
    .replaceAll(`file://${root}`, "")
    .replaceAll(root, "");
  writeFileSync(`${options.svg}.folded`, folded);
  const title = options.title ?? `${options.of}, ${options.load}`;
  // Leave out very thin frames: they are unreadable and make up most of the file.
  writeFileSync(options.svg, pipe("inferno-flamegraph", ["--title", title, "--minwidth", "0.4"], folded));
  process.stderr.write(`written: ${options.svg}\n`);
}

check();
const recording = `${options.svg}.perf`;
if (!options.draw) await record(recording);
if (!options.record) draw(recording);
