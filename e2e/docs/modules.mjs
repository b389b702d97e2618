// Snippets of JavaScript and TypeScript: names that a page does not define are defined before them; then they are
// checked and run exactly as printed.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { within } from "../../testing/wait.mjs";
import { Log } from "../harness/log.mjs";

/** The folder of the snippets: below the packages that a reader would have installed. */
export const FOLDER = fileURLToPath(new URL(".run/", import.meta.url));
export const AZURE_FOLDER = fileURLToPath(new URL("../azure/.run/", import.meta.url));
export const require = createRequire(new URL("package.json", import.meta.url));

/** Names that a page may use without defining them: packages, and the reader's own parts. */
const GIVEN = [
  ["connectToDatabase", "const connectToDatabase = async () => ({ open: true });"],
  ["authenticate", "const authenticate = (_db: object) => (_socket: object, next: () => void) => next();"],
  ["serve", "const serve = (_socket: object, _db: object) => {};"],
  [
    "DefaultAzureCredential",
    "class DefaultAzureCredential { async getToken() { return { token: '', expiresOnTimestamp: 0 }; } }",
  ],
  ["useAzureSocketIO", 'import { useAzureSocketIO } from "@azure/web-pubsub-socket.io";'],
  ["connectionString", "const connectionString = process.env.CONNECTION_STRING ?? '';"],
  ["hub", "const hub = 'default';"],
  ["useTrunkline", 'import { useTrunkline } from "@trunkline/socket.io";'],
  ["httpServer", 'import { createServer } from "node:http";\nconst httpServer = createServer();'],
];

const declares = (text, name) =>
  new RegExp(
    `\\b(const|let|var|function|class)\\s+${name}\\b|\\b(const|let)\\s*\\{[^}]*\\b${name}\\b[^}]*\\}\\s*=|import\\b[^;]*\\b${name}\\b[^;]*from`,
  ).test(text);
const uses = (text, name) =>
  new RegExp(`(?<![.\\w"'/-])${name}(?![\\w"'-]|: )`).test(text.replace(/(^|\s)\/\/.*$/gm, ""));

/** The subject of a snippet: `app` has a Socket.IO server, `client` a client. */
export function kindOf(text) {
  if (/(?<![.\w])io\(/.test(text)) return "client";
  return /useTrunkline\(|useAzureSocketIO\(|new Server\(/.test(text) ? "app" : "module";
}

/** The same lines without types, for running. */
export const givenToRun = (text) => givenFor(text).replace(/(\(|, )(_?\w+): (object|\(\) => void)/g, "$1$2");

/** The lines that go before a snippet. */
export function givenFor(text) {
  // Microsoft's SDK replaces an engine, so a server of its apps needs a port.
  const port = isAzure({ text }) ? "httpServer" : "";
  const missing = (name) => uses(`${text}\n${port}`, name) && !declares(text, name);
  const lines = GIVEN.filter(([name]) => missing(name)).map(([, line]) => line);
  if (kindOf(text) === "client") {
    if (missing("io")) lines.push('import { io } from "socket.io-client";');
  } else {
    const server = missing("io") && kindOf(text) === "app";
    if (missing("Server") || server) lines.push('import { Server } from "socket.io";');
    if (server) lines.push(`const io = new Server(${port});`);
  }
  return lines.map((line) => `${line}\n`).join("");
}

/** Whether a snippet needs Microsoft's packages, and the Socket.IO version that they require. */
export const isAzure = ({ text }) => text.includes("useAzureSocketIO");

/** Fresh folders for a run of these tests. */
export function emptyFolders() {
  for (const folder of [FOLDER, AZURE_FOLDER]) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
  }
}

/** The snippet with a real node's address in place of the page's, and with any free port in place of a fixed one. */
export function placed(text, url) {
  return text
    .replaceAll(/https?:\/\/(127\.0\.0\.1:8080|trunkline\.internal:8080|trunkline\.example\.com|node-[ab]:8080)/g, url)
    .replaceAll(/(new Server|\.listen)\(3000/g, "$1(0");
}

const OPTIONS = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noImplicitOverride: true,
  noImplicitReturns: true,
  module: "nodenext",
  moduleResolution: "nodenext",
  target: "es2022",
  lib: ["es2022", "dom"],
  types: ["node"],
  typeRoots: [fileURLToPath(new URL("node_modules/@types", import.meta.url))],
  experimentalDecorators: true,
  emitDecoratorMetadata: true,
  skipLibCheck: true,
  noEmit: true,
};

/**
 * Checks all snippets in one run of the compiler, each as a TypeScript module, as a reader would copy it. `snippets`:
 * `{ place, line, given, text }`. Returns the mistakes with the page's own line numbers.
 */
export async function typeMistakes(snippets, folder = FOLDER) {
  const files = snippets.map((snippet, index) => {
    const name = `checked-${index}.mts`;
    writeFileSync(folder + name, `${snippet.given}${snippet.text}\nexport {};\n`);
    return name;
  });
  writeFileSync(`${folder}tsconfig.json`, JSON.stringify({ compilerOptions: OPTIONS, files }));
  const child = spawn(
    process.execPath,
    [require.resolve("typescript/package.json").replace("package.json", "bin/tsc"), "--pretty", "false", "-p", folder],
    { cwd: folder },
  );
  const log = new Log("tsc", child);
  await within("the compiler", once(child, "close"), 120_000);
  return log.lines.filter((line) => line.trim() !== "").map((line) => atPage(line, snippets));
}

function atPage(line, snippets) {
  const [, index, row, rest] = /checked-(\d+)\.mts\((\d+),\d+\): (.*)$/.exec(line) ?? [];
  if (index === undefined) return line;
  const { block, given } = snippets[Number(index)];
  return `${block.page}:${block.line + Number(row) - 1 - given.split("\n").length + 1}: ${rest}`;
}

/** Runs a module's text to its end, in a process of its own; without a text, runs the existing file. */
export async function runModule(name, text, { env = {}, folder = FOLDER, withinMs = 30_000 } = {}) {
  if (text !== undefined) writeFileSync(folder + name, text);
  const child = spawn(process.execPath, [folder + name], {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const log = new Log(name, child);
  const closed = once(child, "close");
  try {
    const [code] = await within(`the end of ${name}`, closed, withinMs);
    return { code, said: log.text, lines: log.lines };
  } catch (error) {
    error.message += `\n${log.text}`;
    throw error;
  } finally {
    child.kill("SIGKILL");
  }
}
