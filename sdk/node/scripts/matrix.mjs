// The suite with each release of socket.io that the peer dependency allows: `npm run test:matrix [-- 4.7 ...]`. Not
// part of `npm test`: it installs into a temporary folder for each.
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const RELEASES = ["4.6", "4.7", "4.8"];
/** The oldest release is compiled with the types of the oldest Node.js. */
const NODE_TYPES = { 4.6: "^18.0.0" };
const root = fileURLToPath(new URL("..", import.meta.url));
const releases = process.argv.length > 2 ? process.argv.slice(2) : RELEASES;

function run(cwd, command, ...args) {
  const { status } = spawnSync(command, args, { cwd, stdio: "inherit" });
  return status === 0;
}

const failed = releases.filter((release) => {
  // As deep as in the repository, for the tests that read `spec/` and use `testing/`.
  const top = mkdtempSync(join(tmpdir(), "trunkline-matrix-"));
  const folder = join(top, "sdk", "node");
  try {
    cpSync(root, folder, {
      recursive: true,
      filter: (source) =>
        !/node_modules|[\\/]dist($|[\\/])|[\\/]\.build-|package-lock\.json$/.test(source.slice(root.length)),
    });
    for (const shared of ["spec", "testing"])
      cpSync(join(root, "../..", shared), join(top, shared), { recursive: true });
    const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    for (const name of ["socket.io", "socket.io-client"]) manifest.devDependencies[name] = `~${release}.0`;
    if (release in NODE_TYPES) manifest.devDependencies["@types/node"] = NODE_TYPES[release];
    writeFileSync(join(folder, "package.json"), JSON.stringify(manifest, null, 2));
    console.log(`\n=== socket.io ${release} ===`);
    const install = ["install", "--no-audit", "--no-fund", "--loglevel=error"];
    return ![install, ["run", "lint"], ["test"]].every((words) => run(folder, "npm", ...words));
  } finally {
    rmSync(top, { recursive: true, force: true });
  }
});
console.log(failed.length === 0 ? `\nall of ${releases.join(", ")} pass` : `\nfailed: ${failed.join(", ")}`);
process.exitCode = failed.length === 0 ? 0 : 1;
