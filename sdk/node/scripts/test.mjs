// `node --test` with the same list of files on every Node.js version (18 knows no globs).
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../test/", import.meta.url));
const files = readdirSync(folder)
  .filter((name) => name.endsWith(".test.js"))
  .map((name) => folder + name);
// Each file of the suite ends within seconds; one that does not is a failure that names its test, see hangs.mjs.
// Node.js 18 has neither option.
const FILE_LIMIT_MS = 180_000;
const limits = ["--import", new URL("hangs.mjs", import.meta.url).href, `--test-timeout=${FILE_LIMIT_MS + 20_000}`];
const isOld = Number(process.versions.node.split(".")[0]) < 20;
const child = spawn(process.execPath, [...(isOld ? [] : limits), "--test", ...process.argv.slice(2), ...files], {
  stdio: "inherit",
  env: { ...process.env, FILE_LIMIT_MS: String(FILE_LIMIT_MS) },
});
child.on("exit", (code) => {
  process.exitCode = code ?? 1;
});
