// Runs the end-to-end tests: `node run.mjs [--plain | --docs] [name of a test file]…`.
//
// `--docs` runs the tests of the documentation, in `docs/`. `--plain` runs the tests that need no Trunkline against
// plain Socket.IO, to show that they expect what Socket.IO does.
//
// A file with a failure runs a second time, alone: on a busy machine a test may fail that tells nothing about the
// product. What passes then is named as unsteady, because it is still a fault of the test, or of more than the test.
import { existsSync, readdirSync } from "node:fs";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { fileURLToPath } from "node:url";

const words = process.argv.slice(2);
const plain = words.includes("--plain");
const wanted = words.filter((word) => !word.startsWith("--"));
const folder = fileURLToPath(new URL(words.includes("--docs") ? "docs/" : "tests/", import.meta.url));
const files = readdirSync(folder)
  .filter((file) => file.endsWith(".test.mjs"))
  .filter((file) => wanted.length === 0 || wanted.some((word) => file.startsWith(word)))
  .map((file) => folder + file);

const { BINARY } = await import("./harness/node.mjs");
if (!plain && !existsSync(BINARY)) {
  console.error(`no binary at ${BINARY}: cargo build --release -p trunkline`);
  process.exit(1);
}
// The files run in processes of their own, which inherit this environment. With this variable from an outer test
// runner, Node.js would not print its counts.
delete process.env.NODE_TEST_CONTEXT;
if (plain) process.env.E2E_PLAIN = "1";
const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => stop.abort());

/** Failures in more files than this are no accident. */
const UNSTEADY_FILES_MAX = 3;

const outcomes = await runFiles(files, 2);
const failing = files.filter((file) => outcomes.get(file)?.failed.length > 0);
if (failing.length > 0 && failing.length <= UNSTEADY_FILES_MAX && !stop.signal.aborted) {
  console.log(`\nonce more, alone: ${failing.map((file) => file.slice(folder.length)).join(", ")}`);
  for (const [file, again] of await runFiles(failing, 1)) {
    for (const name of outcomes.get(file).failed) if (!again.failed.includes(name)) console.log(`unsteady: ${name}`);
    outcomes.set(file, again);
  }
}
const count = (what) => [...outcomes.values()].reduce((sum, outcome) => sum + what(outcome), 0);
const passed = count((outcome) => outcome.passed);
const failed = count((outcome) => outcome.failed.length);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);

/** Runs test files, `concurrency` at a time. Returns for each how many tests passed, and the names of those that failed. */
async function runFiles(paths, concurrency) {
  const found = new Map();
  const left = [...paths];
  const worker = async () => {
    for (let path = left.shift(); path && !stop.signal.aborted; path = left.shift())
      found.set(path, await runFile(path));
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return found;
}

/** Runs one file, and prints its tests together once all have ended. */
async function runFile(path) {
  const outcome = { passed: 0, failed: [] };
  const tests = run({ files: [path], signal: stop.signal });
  const counts = ({ skip, todo, details }) => skip === undefined && todo === undefined && details.type !== "suite";
  tests.on("test:pass", (data) => counts(data) && (outcome.passed += 1));
  tests.on("test:fail", (data) => counts(data) && outcome.failed.push(data.name));
  // The final counts are ours, because they are known only after the second run.
  const told = async function* (source) {
    for await (const event of source) if (event.type !== "test:diagnostic") yield event;
  };
  let text = "";
  for await (const part of tests.compose(told).compose(new spec())) text += part;
  process.stdout.write(text);
  return outcome;
}
