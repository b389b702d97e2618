// One source, two builds: made beside `dist`, then put in its place, so that an app that has this folder by a symbolic
// link goes on.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { place } from "./place.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
// As deep as `dist`: on the same file system, and relative paths stay right.
const built = mkdtempSync(join(root, ".build-"));

function compile(format, project, type, ...options) {
  const { status } = spawnSync(process.execPath, [tsc, "-p", project, "--outDir", join(built, format), ...options], {
    cwd: root,
    stdio: "inherit",
  });
  if (status === 0) writeFileSync(join(built, format, "package.json"), `{ "type": "${type}" }\n`);
  return status === 0;
}

try {
  // A build that fails leaves the old one where it is. The first compilation has checked the types.
  if (compile("esm", "tsconfig.json", "module") && compile("cjs", "tsconfig.cjs.json", "commonjs", "--noCheck"))
    place(built, join(root, "dist"));
  else process.exitCode = 1;
} finally {
  rmSync(built, { recursive: true, force: true });
}
