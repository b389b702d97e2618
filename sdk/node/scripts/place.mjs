// Puts a finished build where the old one is, file by file: whoever imports meanwhile finds every file whole, the old
// or the new, and never none. A folder cannot be exchanged in one step from Node.js, and one that is removed first is
// missing for as long as the compiler takes.
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";

/** The paths of all files below `folder`, relative to it. */
function filesOf(folder) {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(folder.length + 1));
}

/** Moves all of `built` to `wanted`, on the same file system; what only `wanted` had goes last. */
export function place(built, wanted) {
  const fresh = filesOf(built);
  // What others import comes before those that import it: a new file may need another new one.
  for (const file of [...fresh].sort(
    (a, b) => Number(existsSync(join(wanted, a))) - Number(existsSync(join(wanted, b))),
  )) {
    mkdirSync(dirname(join(wanted, file)), { recursive: true });
    renameSync(join(built, file), join(wanted, file));
  }
  const kept = new Set(fresh);
  for (const file of filesOf(wanted)) if (!kept.has(file)) rmSync(join(wanted, file), { force: true });
  rmSync(built, { recursive: true, force: true });
}
