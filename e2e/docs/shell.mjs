// Checks commands in the documentation against the programs: do the command, the flags, the file and the script exist?
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { BINARY } from "../harness/node.mjs";
import { ROOT, textOf } from "./blocks.mjs";

/** The mistakes in these lines; `folder` is the folder in which they are meant to be typed, below the root. */
export function mistakesIn(text, folder = "", page = "") {
  const parsed = spawnSync("bash", ["-n"], { input: text, encoding: "utf8" });
  if (parsed.status !== 0) return [parsed.stderr.trim()];
  const at = { folder, page };
  const outside = [];
  return commandsIn(text, true).flatMap((words) => {
    if (words === "(") outside.push(at.folder);
    else if (words === ")") at.folder = outside.pop();
    else return mistakesOf(words, at).map((mistake) => `${words.join(" ")}: ${mistake}`);
    return [];
  });
}

/** The mistakes of a command in running text, where `<target>` and `a|b` stand for one word. */
export function inlineMistakesIn({ text, page }, folder) {
  return mistakesIn(text.replace(/<[\w-]+>/g, "any").replace(/(\w)\|(?=\w)/g, "$1-"), folder, page);
}

/**
 * The simple commands of a script, as lists of words. Understands quotes, comments, `&&`, `|`, `;`, subshells and
 * continued lines; `subshells` keeps their parentheses among the commands.
 */
export function commandsIn(text, subshells = false) {
  const commands = [];
  let words = [];
  const end = () => {
    if (words.length > 0) commands.push(words);
    words = [];
  };
  const token =
    /\\\n|\n|[^\S\n]+|(#[^\n]*)|(&&|\|\||;|\||&|\(|\)|\{ | \})|((?:"(?:\\.|[^"])*"|'[^']*'|\$\([^)]*\)|\$\{[^}]*\}|\\.|[^\s"'\\&|;()#]|(?<=\S)#)+)/gy;
  for (const match of text.matchAll(token)) {
    const [whole, comment, separator, word] = match;
    if (comment !== undefined || whole === "\\\n") continue;
    if (whole === "\n" || separator !== undefined) end();
    if (subshells && (whole === "(" || whole === ")")) commands.push(whole);
    else if (word !== undefined) words.push(word.replace(/^(["'])(.*)\1$/s, "$2"));
  }
  end();
  return commands
    .map((command) => (typeof command === "string" ? command : withoutAssignments(command)))
    .filter((command) => command.length > 0);
}

function withoutAssignments(words) {
  const first = words.findIndex((word) => !/^[A-Z_][A-Z0-9_]*=/.test(word));
  const command = first < 0 ? [] : words.slice(first);
  const redirect = command.findIndex((word) => /^\d?>/.test(word));
  return redirect < 0 ? command : command.slice(0, redirect);
}

/** Other programs, whose arguments we do not check. */
const OTHERS = [
  "apt-get",
  "chmod",
  "install",
  "journalctl",
  "kill",
  "mkdir",
  "pip",
  "sh",
  "systemctl",
  "umask",
  "until",
  "do",
  "done",
  "valgrind",
  "flock",
  "uvicorn",
  "sysctl",
  "openssl",
  "docker",
  "kubectl",
];

const PROGRAMS = { cargo, curl, node, npm, npx, trunkline, cd, "target/release/trunkline": trunkline };
/** Programs that an inline command may begin with. */
export const INLINE = ["cargo", "cd", "node", "npm", "npx", "trunkline"];

function mistakesOf([program, ...rest], at) {
  const check = PROGRAMS[program];
  if (check) return check(rest, at);
  return OTHERS.includes(program) ? [] : ["nobody here knows this program"];
}

function cd([path], at) {
  if (path.startsWith("/") || path === "hello") {
    at.folder = undefined; // A folder of the reader's own.
    return [];
  }
  // Typed in the page's folder or in the root.
  const wanted = [join(at.folder ?? "", path), path].find((one) => existsSync(join(ROOT, one)));
  if (wanted === undefined) return ["no such folder"];
  at.folder = wanted;
  return [];
}

const helps = new Map();
/** The flags and subcommands that `--help` shows. */
function helpOf(key, program, args) {
  if (!helps.has(key)) {
    const { stdout, status } = spawnSync(program, [...args, "--help"], { cwd: ROOT, encoding: "utf8" });
    helps.set(key, status === 0 ? stdout : "");
  }
  return helps.get(key);
}

function unknownFlags(words, help) {
  const flags = words.filter((word) => /^--?[a-z]/.test(word)).map((word) => word.split("=")[0]);
  return flags
    .filter((flag) => !new RegExp(`(^|[\\s,])${flag}(?![\\w-])`, "m").test(help))
    .map((flag) => `no flag ${flag}`);
}

/** `program command… flags…`: walks down the subcommands as long as a help text lists them. */
function withHelp(name, program, before, words) {
  const path = [];
  let help = helpOf(name, program, before);
  if (help === "") return [`${name} --help fails`];
  for (const word of words) {
    if (!/^[a-z][a-z-]*$/.test(word) || !new RegExp(`^ {2,}${word}\\b`, "m").test(commandsOf(help))) break;
    path.push(word);
    help = helpOf([name, ...path].join(" "), program, [...before, ...path]);
    if (help === "") return [`${name} ${path.join(" ")} --help fails`];
  }
  const rest = words[path.length];
  if (commandsOf(help) !== "" && rest !== undefined && !rest.startsWith("-")) {
    // A hidden subcommand is in no list, but has a help text.
    const hidden =
      program === BINARY && helpOf([name, ...path, rest].join(" "), program, [...before, ...path, rest]) !== "";
    return hidden ? [] : [`no command ${rest}`];
  }
  return unknownFlags(words, help);
}

const commandsOf = (help) => /^Commands:\n([^]*?)\n(\n|$(?![^]))/m.exec(`${help}\n`)?.[1] ?? "";

function trunkline(words) {
  return withHelp("trunkline", BINARY, [], words);
}

const CARGO = ["build", "test", "clippy", "fmt", "install", "run"];
function cargo(words) {
  const [first, ...rest] = words.filter((word) => !word.startsWith("+"));
  if (first === "xtask") return withHelp("cargo xtask", "cargo", ["xtask"], rest);
  if (first === "fuzz") return [];
  const named = rest.flatMap((word, index) => (["-p", "--package"].includes(word) ? [rest[index + 1]] : []));
  const missing = named.filter((name) => !packages().has(name)).map((name) => `no package ${name}`);
  const manifests = rest.flatMap((word, index) => (word === "--manifest-path" ? [rest[index + 1]] : []));
  missing.push(...manifests.filter((path) => !existsSync(ROOT + path)).map((path) => `no ${path}`));
  return CARGO.includes(first) ? missing : [...missing, `no command ${first}`];
}

let known;
function packages() {
  known ??= new Set(
    JSON.parse(
      execFileSync("cargo", ["metadata", "--no-deps", "--offline", "--format-version=1"], {
        cwd: ROOT,
        encoding: "utf8",
        maxBuffer: 1 << 26,
      }),
    ).packages.map(({ name }) => name),
  );
  return known;
}

/** `node FILE --flag`: the file exists, and each flag occurs in it or in a file that it imports. */
function node(words, at) {
  const index = words.findIndex((word) => !word.startsWith("-"));
  if (index < 0 || at.folder === undefined) return [];
  const path = [join(at.folder, words[index]), words[index]]
    .map((one) => join(ROOT, one))
    .find((one) => existsSync(one));
  // A file that the page tells its reader to write counts as existing.
  if (!path && at.page !== "" && textOf(at.page).includes(`\n\`${words[index]}\``)) return [];
  if (!path) return [`no file ${words[index]}`];
  const text = textWithImports(path);
  const flags = words
    .slice(index + 1)
    .filter((word) => word.startsWith("--"))
    .map((word) => word.slice(2).split("=")[0]);
  return flags
    .filter(
      (flag) => !new RegExp(`["'\`.-]${flag.replaceAll("-", "[-_]?")}\\b`, "i").test(text) && !camelIn(flag, text),
    )
    .map((flag) => `no flag --${flag}`);
}

const camelIn = (flag, text) =>
  new RegExp(`\\b${flag.replace(/-(.)/g, (_, letter) => letter.toUpperCase())}\\b`).test(text);

function textWithImports(path, seen = new Set()) {
  if (seen.has(path) || !existsSync(path)) return "";
  seen.add(path);
  const text = readFileSync(path, "utf8");
  const imports = [...text.matchAll(/(?:from|import\()\s*"(\.[^"]+)"/g)].map(([, name]) => join(dirname(path), name));
  return text + imports.map((one) => textWithImports(one, seen)).join("\n");
}

const NPM = ["ci", "install", "init", "pkg", "test", "start", "pack"];
function npm(words, at) {
  const prefix = words.includes("--prefix") ? words[words.indexOf("--prefix") + 1] : "";
  const [command, script] = words;
  if (command !== "run") return NPM.includes(command) ? [] : [`no command ${command}`];
  const manifest = join(ROOT, at.folder ?? "", prefix, "package.json");
  if (!existsSync(manifest)) return [`no package.json in ${at.folder ?? "that folder"}`];
  return JSON.parse(readFileSync(manifest, "utf8")).scripts?.[script] ? [] : [`no script ${script}`];
}

function npx() {
  return [];
}

/** The admin port's paths; the tests of that port check that they answer. */
const PATHS = ["/api/v1/status", "/api/v1/cluster", "/api/v1/talkers", "/metrics", "/livez", "/readyz"];
function curl(words) {
  const url = new URL(words.find((word) => word.startsWith("http")));
  return url.port === "8081" && !PATHS.includes(url.pathname) ? [`no path ${url.pathname}`] : [];
}
