// The ledger's page: the newest run of each script in full, then the main figures of every run.
import { BARE, BARE_URING, BUN_ENGINE, NPM, NPM_REDIS, OXIDE } from "./rows.mjs";
import {
  BURSTS,
  CONNECT,
  ECHO,
  ECHO_16,
  FAIR,
  HEARTBEATS,
  IDLE,
  KILL,
  POLLING,
  SINGLE,
  STAMPEDE,
} from "./scenarios.mjs";

/** The figures in which all rows are compared: head, scenario, metric. */
const SIDE_BY_SIDE = [
  ["user memory, B/idle session", IDLE, "RSS bytes/session, servers together"],
  ["kernel memory, B/idle session, both ends", IDLE, "kernel slab bytes/session, both ends"],
  ["user memory, B/held poll", POLLING, "RSS bytes/polling session, servers together"],
  ["CPU us/s of an idle session", HEARTBEATS, "CPU us/s of a session, servers together"],
  ["CPU us/handshake", CONNECT, "CPU us/handshake, servers together"],
  ["stampede, p99 ms until back", STAMPEDE, "back after p99 ms"],
  ["stampede, CPU us/return", STAMPEDE, "CPU us/return, servers together"],
  ["CPU us/delivery, single", SINGLE, "CPU us/delivery, servers together"],
  ["CPU us/delivery, bursts of 16", BURSTS, "CPU us/delivery, servers together"],
  ["p99 ms, single", SINGLE, "delivery p99 ms"],
  ["p99 ms, an echo beside them", FAIR, "beside one by one: echo p99 ms"],
  ["CPU us/echo, window 1", ECHO, "CPU us/round trip, servers together"],
  ["CPU us/echo, window 16", ECHO_16, "CPU us/round trip, servers together"],
];

/**
 * The work of the node alone. A peer that is server and app in one has no such part. Units are written without their
 * owner.
 */
const NODE = [
  ["user memory, B/idle session", IDLE, "RSS bytes/session"],
  ["user memory, B/held poll", POLLING, "RSS bytes/polling session"],
  ["CPU us/s of an idle session", HEARTBEATS, "CPU us/s of a session"],
  ["CPU us/handshake", CONNECT, "CPU us/handshake"],
  ["stampede, CPU us/return", STAMPEDE, "CPU us/return"],
  ["stampede, RSS MB when all have left", STAMPEDE, "RSS MB when all have left"],
  ["CPU us/delivery, single", SINGLE, "CPU us/delivery"],
  ["CPU us/delivery, bursts of 16", BURSTS, "CPU us/delivery"],
  ["CPU us/echo, window 1", ECHO, "CPU us/round trip"],
  ["CPU us/echo, window 16", ECHO_16, "CPU us/round trip"],
];

const APP_SERVER = [
  ["CPU us/echo, window 1", ECHO, "CPU us/round trip, app server"],
  ["CPU us/echo, window 16", ECHO_16, "CPU us/round trip, app server"],
  ["CPU us/delivery of a broadcast to 10,000", SINGLE, "CPU us/delivery, app server"],
  ["CPU us/connecting client, the first 10,000", CONNECT, "CPU us/handshake, app server"],
  ["CPU us/connecting client, the next 10,000", CONNECT, "CPU us/handshake of the next, app server"],
  ["memory, B/socket", IDLE, "RSS bytes/session, app server"],
  ["memory, B/socket over polling", POLLING, "RSS bytes/polling session, app server"],
];

const HEADLINES = [
  ["echo, rt/s", ["echo, 1,000 clients, window 1"], "round trips/s"],
  ["echo, app server CPU us", ["echo, 1,000 clients, window 1"], "CPU us/round trip, app server"],
  ["echo W16, rt/s", ["echo, 100 clients, window 16"], "round trips/s"],
  ["broadcast, deliveries/s", [SINGLE, "broadcast to 5,000, one by one"], "deliveries/s"],
  ["bursts of 16, deliveries/s", [BURSTS, "broadcast to 5,000, bursts of 16"], "deliveries/s"],
  ["idle, app server B/session", [IDLE], "RSS bytes/session, app server", "app server RSS bytes/session"],
  ["idle, node B/session", [IDLE], "RSS bytes/session, node", "node RSS bytes/session"],
  ["fetchSockets ms", ["fetchSockets, 10,000 sockets on 2 app servers"], "time ms"],
  ["kill, all back ms", [KILL], "all back ms"],
];

/** `runs`: newest first. */
export function page(runs) {
  return [
    "# Ledger",
    "",
    "Made by the scripts of `bench/`; do not edit. Medians, in brackets the lowest and highest of all repetitions.",
    "Ratios within one run are what counts; absolute figures belong to the machine and its mood that day.",
    "How each figure is measured: [Benchmarks](../../docs/benchmarks.md).",
    "",
    ...newestOfEach(runs).flatMap(newest),
    "## All runs",
    "",
    ...history(runs),
    "",
  ].join("\n");
}

/** The newest run of each script, newest first; a script is the first two words of a command. */
function newestOfEach(runs) {
  const byScript = new Map();
  for (const run of runs) {
    const script = run.command.split(" ", 2).join(" ");
    if (!byScript.has(script)) byScript.set(script, run);
  }
  return [...byScript.values()];
}

function newest(run) {
  const { cpu, cores, memory_gib, kernel, node_js } = run.machine;
  const state = run.commit.changed ? " with uncommitted changes" : "";
  const versions = [
    run.socket_io && `socket.io ${run.socket_io}`,
    run.peers && `socketioxide ${run.peers.socketioxide}`,
  ];
  const facts = [
    cpu,
    `${cores} cores`,
    `${memory_gib} GiB`,
    `Linux ${kernel}`,
    `Node.js ${node_js}`,
    ...versions,
  ].filter(Boolean);
  const how = [`${run.repetitions} repetitions, alternating`, run.pins && `pins: ${run.pins}`].filter(Boolean);
  return [
    `## ${run.date.slice(0, 16).replace("T", " ")} UTC, commit ${run.commit.id}${state}`,
    "",
    `${facts.join(", ")}; ${how.join("; ")}. Command: \`${run.command}\``,
    "",
    ...(run.scenarios[SINGLE] ? summaries(run.scenarios) : []),
    ...Object.entries(run.scenarios).flatMap(([scenario, rows]) => details(scenario, rows)),
    ...Object.entries(run.curves ?? {}).flatMap(([name, lines]) => curve(name, lines)),
    ...notes(run.problems ?? []),
  ];
}

/** The plot of a curve and all its points. */
function curve(name, lines) {
  const rows = [...new Set(Object.values(lines).flatMap((byRow) => Object.keys(byRow)))];
  const xs = [
    ...new Set(
      Object.values(lines).flatMap((byRow) => Object.values(byRow).flatMap((points) => points.map(({ x }) => x))),
    ),
  ];
  const tables = Object.entries(lines).flatMap(([metric, byRow]) => [
    `| ${metric} | ${xs.map((x) => x.toLocaleString("en-US")).join(" | ")} |`,
    `|---|${xs.map(() => "---:|").join("")}`,
    ...rows.map((row) => `| ${row} | ${xs.map((x) => cell(byRow[row]?.find((point) => point.x === x))).join(" | ")} |`),
    "",
  ]);
  return [`### growth with ${name}`, "", `![growth with ${name}](plots/${name}.svg)`, "", ...tables];
}

/** All rows in one table, then as ratios to the bare limit and to Socket.IO, then the app server's share. */
function summaries(scenarios) {
  const rows = [...new Set(Object.values(scenarios).flatMap((one) => Object.keys(one)))];
  const of = (row, [, scenario, metric]) => scenarios[scenario]?.[row]?.[metric];
  const table = (title, names, columns, show) => [
    `### ${title}`,
    "",
    `| | ${columns.map(([head]) => head).join(" | ")} |`,
    `|---|${columns.map(() => "---:|").join("")}`,
    ...names.map((row) => `| ${row} | ${columns.map((column) => show(row, column)).join(" | ")} |`),
    "",
  ];
  const node = (row, [, scenario, unit]) => {
    const figures = scenarios[scenario]?.[row];
    return figures?.[`${unit}, node`] ?? figures?.[`${unit}, servers together`];
  };
  const times =
    (base, figure = of) =>
    (row, column) =>
      quotient(figure(base, column)?.median, figure(row, column)?.median);
  const hasNode = (row) => scenarios[SINGLE][row]?.["CPU us/delivery, node"] !== undefined;
  const apps = rows.filter((row) => [BUN_ENGINE, NPM, NPM_REDIS].includes(row) || hasNode(row));
  const servers = rows.filter((row) => [BARE, BARE_URING, OXIDE].includes(row) || hasNode(row));
  const ratios = [BARE, BUN_ENGINE, NPM].filter((base) => rows.includes(base));
  return [
    ...table("Side by side", rows, SIDE_BY_SIDE, (row, column) => cell(of(row, column))),
    ...ratios.flatMap((base) => table(`Times ${base}`, rows, SIDE_BY_SIDE, times(base))),
    ...table("The node without its app server", servers, NODE, (row, column) => cell(node(row, column))),
    ...(servers.includes(BARE) ? table(`The same, times ${BARE}`, servers, NODE, times(BARE, node)) : []),
    ...table("What is left for the app server (all of a row's together)", apps, APP_SERVER, (row, column) =>
      cell(of(row, column)),
    ),
    ...(apps.includes(NPM) ? table(`The same, times ${NPM}`, apps, APP_SERVER, times(NPM)) : []),
  ];
}

/** Every metric of a scenario. */
function details(scenario, rows) {
  const names = Object.keys(rows);
  const metrics = [...new Set(names.flatMap((name) => Object.keys(rows[name])))];
  const pair = names.length === 2;
  return [
    `### ${scenario}`,
    "",
    `| | ${names.join(" | ")} |${pair ? " ratio |" : ""}`,
    `|---|${names.map(() => "---:|").join("")}${pair ? "---:|" : ""}`,
    ...metrics.map((metric) => {
      const values = names.map((name) => rows[name][metric]);
      const ratio = pair ? ` ${quotient(values[0]?.median, values[1]?.median)} |` : "";
      return `| ${metric} | ${values.map(cell).join(" | ")} |${ratio}`;
    }),
    "",
  ];
}

/**
 * The notes on single measurements. Notes that differ only in numbers appear once, with their count and their first
 * place; the JSON has all of them.
 */
function notes(problems) {
  const groups = new Map();
  for (const problem of problems) {
    const [, where, text] = /^(.*, repetition \d+): (.*)$/.exec(problem) ?? [undefined, undefined, problem];
    const kind = text.replace(/\d+([.,]\d+)*/g, "…");
    const group = groups.get(kind) ?? { text, where, count: 0 };
    groups.set(kind, { ...group, count: group.count + 1 });
  }
  const lines = [...groups.values()].map(({ text, where, count }) => {
    if (!where) return `- ${text}`;
    return count > 1 ? `- ${count} times, first in ${where}: ${text}` : `- ${where}: ${text}`;
  });
  return lines.length > 0 ? [...lines, ""] : [];
}

function cell(metric) {
  if (metric === undefined) return "";
  const { median, min, max } = metric;
  return min === max ? number(median) : `${number(median)} (${number(min)}–${number(max)})`;
}

function number(value) {
  return Math.abs(value) >= 1_000 ? Math.round(value).toLocaleString("en-US") : String(value);
}

/** `value` divided by `base`, with two digits. */
function quotient(base, value) {
  return base && value !== undefined ? String(Number((value / base).toPrecision(2))) : "";
}

function history(runs) {
  const heads = HEADLINES.map(([head]) => head);
  const lines = [`| run | row | ${heads.join(" | ")} |`, `|---|---|${heads.map(() => "---:|").join("")}`];
  for (const run of runs) {
    const rows = [...new Set(Object.values(run.scenarios).flatMap((one) => Object.keys(one)))];
    for (const row of rows) {
      const cells = HEADLINES.map(([, scenarios, ...metrics]) => {
        const found = scenarios
          .flatMap((scenario) => metrics.map((metric) => run.scenarios[scenario]?.[row]?.[metric]))
          .find(Boolean);
        return found ? number(found.median) : "";
      });
      if (cells.every((text) => text === "")) continue;
      lines.push(`| [${run.date.slice(0, 10)} ${run.commit.id}](${run.name}) | ${row} | ${cells.join(" | ")} |`);
    }
  }
  return lines;
}
