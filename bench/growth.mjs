// Measures how cost grows with sessions, rooms, payload and threads: one curve each, into the ledger, each with a plot.
import { createRequire } from "node:module";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { CURVES } from "./lib/curves.mjs";
import { append, newestCurves, summarise, writePlot } from "./lib/ledger.mjs";
import { commit, machine } from "./lib/machine.mjs";
import { PINS } from "./lib/processes.mjs";
import { plot } from "./lib/plot.mjs";
import { ROWS } from "./lib/rows.mjs";
import { openSamples, work } from "./lib/samples.mjs";

const UNFINISHED = 75;
const target = new URL("../target/release/", import.meta.url).pathname;
const { values: options } = parseArgs({
  options: {
    repetitions: { type: "string", default: "3" },
    only: { type: "string", default: "" },
    rows: { type: "string", default: "" },
    // No curve goes beyond this many sessions; a million needs 24 GiB and a long time.
    "sessions-max": { type: "string", default: "100000" },
    generator: { type: "string", default: join(target, "trunkline") },
    trunkline: { type: "string", default: join(target, "trunkline") },
    "node-args": { type: "string", default: "" },
    quiet: { type: "string", default: "60" },
    samples: { type: "string" },
    for: { type: "string", default: "Infinity" },
    "no-ledger": { type: "boolean", default: false },
    // Measures nothing; draws the newest entry's curves again.
    redraw: { type: "boolean", default: false },
  },
});
options.nodeArgs = options["node-args"].split(" ").filter(Boolean);
const notes = [];

/** Every point of every chosen curve; the rows alternate at each point. */
function plan() {
  const curves = Object.entries(CURVES).filter(([name]) => name.includes(options.only));
  const repetitions = Array.from({ length: Number(options.repetitions) }, (_, index) => index + 1);
  const rows = (curve) => Object.entries(curve.rows).filter(([row]) => row.includes(options.rows) && isThere(row));
  const chosen = curves.map(([name, curve]) => [name, curve, rows(curve)]);
  const xs = (name, curve) => curve.xs.filter((x) => name !== "sessions" || x <= Number(options["sessions-max"]));
  return repetitions.flatMap((repetition) =>
    chosen.flatMap(([name, curve, kept]) =>
      xs(name, curve).flatMap((x) =>
        kept
          .filter(([, max]) => x <= max)
          .map(([row]) => ({ repetition, scenario: `${name} = ${x}`, curve: name, x, row })),
      ),
    ),
  );
}

function isThere(row) {
  const install = ROWS[row].missing(options);
  const note = `row left out: ${row}; it needs \`${install}\``;
  if (install && !notes.includes(note)) notes.push(note);
  return !install;
}

async function measure({ curve, x, row }) {
  const { metrics, problems } = await CURVES[curve].at(x, row, options);
  return { metrics, notes: problems };
}

/** All figures of a point, and its problems, in one line. */
function figures({ metrics, notes }) {
  const known = Object.entries(metrics).filter(([, value]) => value !== undefined);
  const shown = known.map(([metric, value]) => `${metric} ${value.toPrecision(4)}`);
  return [[...shown, ...notes].join("; ")];
}

/** For each curve and metric, the points of each row. */
function curvesOf(todo, samples) {
  const curves = {};
  for (const name of new Set(todo.map(({ curve }) => curve))) {
    const points = todo.filter(({ curve, repetition }) => curve === name && repetition === 1);
    const lines = {};
    for (const { scenario, row, x } of points) {
      const all = samples.of(scenario, row);
      for (const metric of new Set(all.flatMap(({ metrics }) => Object.keys(metrics)))) {
        const values = all.map(({ metrics }) => metrics[metric]).filter((value) => typeof value === "number");
        if (values.length > 0) ((lines[metric] ??= {})[row] ??= []).push({ x, ...summarise(values) });
      }
    }
    curves[name] = lines;
  }
  return curves;
}

function drawn(name, lines) {
  const { title, panels } = CURVES[name];
  const panel = (metric) => ({
    title: metric,
    lines: Object.entries(lines[metric] ?? {}).map(([row, points]) => ({ name: row, points })),
  });
  return plot({
    title,
    xTitle: name === "payload" ? "bytes" : name,
    panels: panels.map(panel).filter(({ lines: some }) => some.length > 0),
  });
}

function draw(curves) {
  for (const [name, lines] of Object.entries(curves)) console.log(`drawn: ${writePlot(name, drawn(name, lines))}`);
}

async function main() {
  if (options.redraw) return draw(newestCurves()?.curves ?? {});
  const todo = plan();
  const samples = openSamples(options.samples, { date: new Date().toISOString(), commit: commit() });
  if (
    !(await work(todo, samples, {
      measure,
      told: figures,
      seconds: Number(options.for),
      quietSeconds: Number(options.quiet),
    }))
  ) {
    process.stderr.write(
      `${todo.filter((one) => !samples.has(one)).length} of ${todo.length} points are left; the same command goes on\n`,
    );
    process.exitCode = UNFINISHED;
    return;
  }
  const told = todo.flatMap((one) =>
    samples.notes(one).map((text) => `${one.scenario}, ${one.row}, repetition ${one.repetition}: ${text}`),
  );
  const curves = curvesOf(todo, samples);
  const run = {
    ...samples.head,
    machine: machine(),
    socket_io: createRequire(import.meta.url)("socket.io/package.json").version,
    command: command(),
    repetitions: Number(options.repetitions),
    pins: PINS ? `servers on core ${PINS.server}, generator on core ${PINS.generator}; none with threads` : "none",
    scenarios: {},
    curves,
    problems: [...notes, ...told],
  };
  if (options["no-ledger"]) {
    console.log(JSON.stringify(run, null, 1));
    return;
  }
  draw(curves);
  console.log(`written: ${append(run)}`);
}

function command() {
  const told = ["repetitions", "only", "rows", "sessions-max", "node-args", "quiet"].filter(
    (name) => options[name] !== "",
  );
  return ["node bench/growth.mjs", ...told.map((name) => `--${name} '${options[name]}'`)].join(" ");
}

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, async () => {
    await options.stopping?.();
    process.exit(130);
  });
}
await main();
