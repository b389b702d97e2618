// Measurements of a run that may be done in pieces: one line of JSON each, in a file that a later piece goes on from.
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";

/** Without a path, memory only. `head`: date and commit; a file of another commit is refused. */
export function openSamples(path, head) {
  const lines = path && existsSync(path) ? readFileSync(path, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line)) : [];
  const kept = lines.shift() ?? head;
  if (kept.commit.id !== head.commit.id) throw new Error(`${path} holds measurements of commit ${kept.commit.id}`);
  if (path && !existsSync(path)) writeFileSync(path, `${JSON.stringify(kept)}\n`);
  const find = (one) => lines.find((line) => ["scenario", "row", "repetition"].every((key) => line[key] === one[key]));
  return {
    head: { ...kept, commit: { ...kept.commit, changed: kept.commit.changed || head.commit.changed } },
    has: (one) => find(one) !== undefined,
    notes: (one) => find(one)?.notes ?? [],
    of: (scenario, row) => lines.filter((line) => line.scenario === scenario && line.row === row),
    add(line) {
      lines.push(line);
      if (path) appendFileSync(path, `${JSON.stringify(line)}\n`);
    },
  };
}
