// The measurements of a run that may be done in pieces: one line of JSON each, in a file from which a later piece
// continues.
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";

import { quiet } from "./machine.mjs";

/** Without a path, samples are kept in memory only. `head`: date and commit; a file of another commit is refused. */
export function openSamples(path, head) {
  const lines =
    path && existsSync(path)
      ? readFileSync(path, "utf8")
          .split("\n")
          .filter(Boolean)
          .map((line) => JSON.parse(line))
      : [];
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

/**
 * Does the measurements that are missing, in order, each on an idle machine; starts none after `seconds`. `told`: the
 * lines to print for a measurement. Returns whether everything is done.
 */
export async function work(todo, samples, { measure, told, seconds, quietSeconds }) {
  const until = Date.now() + seconds * 1_000;
  for (const [index, one] of todo.entries()) {
    if (samples.has(one)) continue;
    if (Date.now() > until) return false;
    await quiet(quietSeconds);
    process.stderr.write(`[${index + 1}/${todo.length}] ${one.scenario}: ${one.row}, repetition ${one.repetition}\n`);
    const measured = await measure(one);
    samples.add({ ...one, ...measured });
    told(measured).forEach((text) => process.stderr.write(`    ${text}\n`));
  }
  return true;
}
