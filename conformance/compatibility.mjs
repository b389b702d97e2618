// node compatibility.mjs [--check]: writes docs/compatibility.md from results/, or checks that it fits the features and
// scripts.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { findScripts } from "./lib/scripts.mjs";
import { TRUNKLINE_BIN } from "./lib/node.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const page = path.join(here, "../docs/compatibility.md");
const json = (file) => JSON.parse(readFileSync(path.join(here, file), "utf8"));

const sections = json("features.json");
const gaps = json("gaps.json");
const azure = json("azure.json");
const features = Object.values(sections).flat();
const scripts = await findScripts();
const mistakes = [...misnamed()];
for (const mistake of mistakes) console.error(mistake);
if (mistakes.length > 0) process.exit(1);

if (process.argv.includes("--check")) check();
else write();

/** Names in scripts that no feature matches, and the reverse. */
function* misnamed() {
  for (const { name, proves } of scripts) {
    for (const feature of proves)
      if (!features.includes(feature)) yield `${name} proves "${feature}", which features.json does not have`;
  }
  const proven = new Set(scripts.flatMap((script) => script.proves));
  for (const feature of features)
    if (!proven.has(feature) && !gaps[feature]) yield `no script proves "${feature}", and gaps.json has no reason`;
  for (const feature of Object.keys(gaps))
    if (!features.includes(feature) || proven.has(feature)) yield `gaps.json has "${feature}" for nothing`;
  for (const pattern of azure.flatMap((one) => one.features))
    if (!features.some(matching(pattern))) yield `azure.json has "${pattern}", which features.json does not have`;
}

/** Whether a feature matches a name with `*` in it. */
function matching(pattern) {
  const text = pattern.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll("\\*", ".*");
  const expression = new RegExp(`^${text}$`);
  return (feature) => expression.test(feature);
}

/** The parts of the page that are no results: features, Azure's statements, scripts. */
function skeleton(feature) {
  const exact = azure.find((one) => one.features.includes(feature));
  const says = (exact ?? azure.find((one) => one.features.some((pattern) => matching(pattern)(feature))))?.says ?? "–";
  const counts = new Map();
  for (const { name, proves } of scripts) {
    if (!proves.includes(feature)) continue;
    const file = name.split(": ")[0];
    counts.set(file, (counts.get(file) ?? 0) + 1);
  }
  const links = [...counts].map(
    ([file, count]) =>
      `[${file.replace(/^api\//, "")}](../conformance/scripts/${file}.mjs)${count > 1 ? ` ${count}` : ""}`,
  );
  return { feature: `\`${feature}\``, azure: says, scripts: links.join(", ") || "–" };
}

function check() {
  const rows = new Map();
  for (const line of existsSync(page) ? readFileSync(page, "utf8").split("\n") : []) {
    const [, feature, , , says, links] = line.split(" | ".trim()).map((cell) => cell.trim());
    if (feature?.startsWith("`")) rows.set(feature, `${says} | ${links}`);
  }
  const stale = [];
  for (const feature of features) {
    const row = skeleton(feature);
    if (rows.get(row.feature) !== `${row.azure} | ${row.scripts}`) stale.push(row.feature);
    rows.delete(row.feature);
  }
  stale.push(...rows.keys());
  if (stale.length === 0) return console.log(`docs/compatibility.md fits: ${features.length} features`);
  console.error(
    `docs/compatibility.md is stale; run the scripts, then "node compatibility.mjs". Rows: ${stale.join(", ")}`,
  );
  process.exit(1);
}

function write() {
  const runs = readdirSync(path.join(here, "results"))
    .filter((file) => /^trunkline-apps\d+-threads\d+\.json$/.test(file))
    .sort();
  if (runs.length === 0) throw new Error("no results: run the scripts first");
  const npm = byScript(json("results/npm.json"));
  const variants = runs.map((file) => ({ ...variant(file), results: byScript(json(`results/${file}`)) }));
  const rows = Object.entries(sections).map(([title, names]) => ({
    title,
    rows: names.map((feature) => row(feature, npm, variants)),
  }));
  writeFileSync(page, render(rows, variants));
  const counts = count(rows);
  console.log(`docs/compatibility.md: ${counts.pass} pass, ${counts.difference} differ, ${counts.gap} gaps`);
}

function byScript(results) {
  return new Map(results.map((one) => [one.script, one]));
}

function variant(file) {
  const [, appServers, threads] = /apps(\d+)-threads(\d+)/.exec(file).map(Number);
  return { appServers, threads };
}

/** One feature with its verdicts: `pass`, `difference` or `gap`, over all runs. */
function row(feature, npm, variants) {
  const names = scripts.filter((script) => script.proves.includes(feature)).map((script) => script.name);
  if (names.length === 0) return { ...skeleton(feature), npm: "–", verdict: "gap", trunkline: `gap: ${gaps[feature]}` };
  const inNpm = names.every((name) => npm.get(name) && !failedItself(npm.get(name))) ? "pass" : "–";
  const results = variants.flatMap(({ results: all }) =>
    names.map((name) => all.get(name) ?? { script: name, verdict: "failed" }),
  );
  const failed = [...new Set(results.filter((one) => one.verdict === "failed").map((one) => one.script))];
  const reasons = [...new Set(results.filter((one) => one.verdict === "differs").map((one) => one.detail[0]))];
  if (failed.length > 0)
    return {
      ...skeleton(feature),
      npm: inNpm,
      verdict: "gap",
      trunkline: `gap: ${failed.map((name) => `*${name}*`).join(", ")}`,
    };
  if (reasons.length > 0)
    return { ...skeleton(feature), npm: inNpm, verdict: "difference", trunkline: `difference: ${reasons.join("; ")}` };
  return { ...skeleton(feature), npm: inNpm, verdict: "pass", trunkline: "pass" };
}

function failedItself({ transcript }) {
  return transcript.some((line) => line.startsWith("script failed"));
}

function count(parts) {
  const counts = { pass: 0, difference: 0, gap: 0 };
  for (const { verdict } of parts.flatMap((part) => part.rows)) counts[verdict]++;
  return counts;
}

function render(parts, variants) {
  const counts = count(parts);
  const api = scripts.filter((script) => script.name.startsWith("api/")).length;
  const lines = [
    "# Compatibility",
    "",
    "Every public method, option and event of Socket.IO's server, as scripts saw it: the same app and the same clients against plain",
    "`socket.io` and through Trunkline. This page is generated; edit `conformance/` instead.",
    "",
    `**${features.length} features: ${counts.pass} pass, ${counts.difference} differ for a reason, ${counts.gap} gaps.** ${scripts.length} scripts, ${api} of them about the server API.`,
    "",
    "| Run | Scripts | Same | Differ for a reason | Failed |",
    "|---|---|---|---|---|",
    ...variants.map(variantRow),
    "",
    `Versions: ${versions()}.`,
    "",
    "```sh",
    "cd conformance && npm ci",
    ...variants.map(({ appServers, threads }) => `node run.mjs --app-servers ${appServers} --threads ${threads}`),
    "node compatibility.mjs            # writes this page",
    "node compatibility.mjs --check    # whether it fits the features and scripts",
    "```",
    "",
    "*Trunkline* is the outcome over all runs above. *Azure* is what Azure Web PubSub for Socket.IO documents for its default mode, or what its",
    "SDK was seen to do; a dash where neither says anything. Numbers behind a script say how many of its cases are about the feature.",
  ];
  for (const { title, rows } of parts) {
    lines.push("", `## ${title}`, "", "| Feature | socket.io | Trunkline | Azure | Scripts |", "|---|---|---|---|---|");
    for (const one of rows)
      lines.push(`| ${[one.feature, one.npm, one.trunkline, one.azure, one.scripts].join(" | ")} |`);
  }
  return lines.join("\n") + "\n";
}

function variantRow({ appServers, threads, results }) {
  const all = [...results.values()];
  const number = (verdict) => all.filter((one) => one.verdict === verdict).length;
  return `| ${appServers} app server${appServers > 1 ? "s" : ""}, ${threads} thread${threads > 1 ? "s" : ""} | ${all.length} | ${number("passed")} | ${number("differs")} | ${number("failed")} |`;
}

function versions() {
  const { packages } = json("package-lock.json");
  const names = ["socket.io", "engine.io", "socket.io-client", "socket.io-client-v2", "socket.io-msgpack-parser"];
  const told = names.map(
    (name) => `\`${packages[`node_modules/${name}`].name ?? name}\` ${packages[`node_modules/${name}`].version}`,
  );
  const trunkline = execFileSync(TRUNKLINE_BIN, ["--version"], { encoding: "utf8" }).trim();
  return [trunkline, ...told, `Node.js ${process.versions.node}`].join(", ");
}
