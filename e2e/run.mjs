// Runs the end-to-end tests: `node run.mjs [--plain | --docs] [name of a test file]…`.
//
// `--docs` runs those of the documentation, in `docs/`.
// `--plain` runs those that need no Trunkline against plain Socket.IO: what they ask for is what
// Socket.IO does.
import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const words = process.argv.slice(2);
const plain = words.includes("--plain");
const wanted = words.filter((word) => !word.startsWith("--"));
const folder = fileURLToPath(new URL(words.includes("--docs") ? "docs/" : "tests/", import.meta.url));
const files = readdirSync(folder)
  .filter((file) => file.endsWith(".test.mjs"))
  .filter((file) => wanted.length === 0 || wanted.some((word) => file.startsWith(word)));

const { BINARY } = await import("./harness/node.mjs");
if (!plain && !existsSync(BINARY)) {
  console.error(`no binary at ${BINARY}: cargo build --release -p trunkline`);
  process.exit(1);
}
// Started from inside a test runner, node would keep its counts to itself.
const { NODE_TEST_CONTEXT, ...env } = process.env;
const child = spawn(
  process.execPath,
  ["--test", "--test-reporter=spec", "--test-concurrency=2", ...files.map((file) => folder + file)],
  { stdio: "inherit", env: { ...env, ...(plain ? { E2E_PLAIN: "1" } : {}) } },
);
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code) => process.exit(code ?? 1));
