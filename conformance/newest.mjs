// node newest.mjs [arguments of run.mjs]
//
// Compares the newest socket.io 4 and engine.io 6 of the registry with Trunkline: runs the scripts of this folder
// against both, freshly installed into a separate folder. A new release is no mistake of ours, so differences are
// reported and do not fail; a run without a result does.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const WATCHED = [
  "socket.io",
  "engine.io",
  "socket.io-adapter",
  "socket.io-parser",
  "engine.io-parser",
  "socket.io-client",
  "ws",
];
const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.dirname(here);

function versions(folder) {
  const fromSocketIo = createRequire(createRequire(path.join(folder, "package.json")).resolve("socket.io"));
  return Object.fromEntries(WATCHED.map((name) => [name, version(name, fromSocketIo, folder)]));
}

/**
 * The installed version. Packages may not export their manifest, so it is searched where Node.js would find the
 * package.
 */
function version(name, require, folder) {
  const places = [...(require.resolve.paths(name) ?? []), path.join(folder, "node_modules")];
  const manifest = places.map((place) => path.join(place, name, "package.json")).find(existsSync);
  return manifest ? JSON.parse(readFileSync(manifest, "utf8")).version : "none";
}

const copy = mkdtempSync(path.join(tmpdir(), "trunkline-newest-"));
try {
  cpSync(here, copy, {
    recursive: true,
    filter: (source) => !/^(node_modules|results|package-lock\.json)(\/|$)/.test(path.relative(here, source)),
  });
  const manifest = JSON.parse(readFileSync(path.join(copy, "package.json"), "utf8"));
  for (const name of ["socket.io", "socket.io-client"]) manifest.dependencies[name] = "4";
  writeFileSync(path.join(copy, "package.json"), JSON.stringify(manifest, null, 2));
  const install = spawnSync("npm", ["install", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: copy,
    stdio: "inherit",
  });
  if (install.status !== 0) throw new Error("the newest releases cannot be installed");

  const [locked, newest] = [versions(here), versions(copy)];
  const changed = WATCHED.filter((name) => locked[name] !== newest[name]);
  for (const name of WATCHED)
    console.log(`${name} ${locked[name]}${changed.includes(name) ? ` → ${newest[name]}` : ""}`);
  if (changed.length === 0) {
    console.log("the newest releases are the ones that are locked here: the scripts have run with them");
    console.log("1 passed, 0 failed");
  } else {
    const env = {
      ...process.env,
      TRUNKLINE_SDK: process.env.TRUNKLINE_SDK ?? path.join(root, "sdk/node/dist/esm/index.js"),
      TRUNKLINE_BIN: process.env.TRUNKLINE_BIN ?? path.join(root, "target/release/trunkline"),
    };
    const run = spawnSync(process.execPath, ["run.mjs", "--target", "both", ...process.argv.slice(2)], {
      cwd: copy,
      env,
      encoding: "utf8",
      maxBuffer: 1 << 28,
    });
    const [tally, passed, failed] = /^(\d+) passed, (\d+) failed$/m.exec(run.stdout) ?? [];
    if (!tally) throw new Error(`the scripts came to no result:\n${run.stdout}\n${run.stderr}`);
    if (passed === "0")
      throw new Error(`not one script passed, which is no news of a release:\n${run.stdout.slice(-4000)}`);
    if (failed !== "0") console.log(run.stdout.replace(tally, "").trimEnd());
    console.log(
      failed === "0"
        ? "none of the scripts sees a difference: raise the versions in the lock files"
        : `${failed} scripts differ with the newest releases: follow them, then raise the versions in the lock files`,
    );
    console.log(`${Number(passed) + Number(failed)} passed, 0 failed`);
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
