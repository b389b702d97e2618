/** What is left of an app server when it has closed: nothing that keeps its process alive. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const script = fileURLToPath(new URL("./support/close-without-node.mjs", import.meta.url));

for (const [mode, what] of [
  ["reset", "breaks every connection"],
  ["refuse", "refuses every trunk"],
  ["mute", "takes connections and says nothing"],
  ["silent", "takes the trunk and never welcomes it"],
]) {
  test(`\`io.close()\` while the node ${what} leaves no timer and no stream behind`, async () => {
    const { stdout } = await run(process.execPath, [script, mode]);
    assert.deepEqual(JSON.parse(stdout), { attempts: mode === "reset" || mode === "refuse" ? 3 : 1, left: [] });
  });
}
