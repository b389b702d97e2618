// The scripts on conformance's page, run exactly as shown, against plain Socket.IO and against Trunkline.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { ROOT } from "../blocks.mjs";

export function run(pile) {
  const folder = `${ROOT}conformance/scripts/documented-${process.pid}`;
  const files = [`${folder}-1.mjs`, `${folder}-2.mjs`];
  try {
    writeFileSync(files[0], pile.take("js", "export async function run"));
    writeFileSync(files[1], pile.take("js", "export const cases"));
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ["conformance/run.mjs", "--only", `documented-${process.pid}`],
      { cwd: ROOT, encoding: "utf8" },
    );
    assert.equal(status, 0, stdout + stderr);
    assert.match(stdout, /^2 passed, 0 failed$/m);
  } finally {
    for (const file of files) rmSync(file, { force: true });
  }
}
