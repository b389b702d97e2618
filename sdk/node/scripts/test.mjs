// `node --test` with the same list of files on every Node.js version (18 knows no globs).
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../test/", import.meta.url));
const files = readdirSync(folder)
  .filter((name) => name.endsWith(".test.js"))
  .map((name) => folder + name);
const child = spawn(process.execPath, ["--test", ...process.argv.slice(2), ...files], { stdio: "inherit" });
child.on("exit", (code) => {
  process.exitCode = code ?? 1;
});
