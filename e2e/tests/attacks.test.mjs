// A small run of the table of attacks: clients beside them lose nothing, memory comes back, and a counter names each.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { PLAIN } from "../harness/world.mjs";

const TABLE = fileURLToPath(new URL("../stress/attacks.mjs", import.meta.url));
/** One or two of each family; each takes some seconds. */
const CHOSEN = [
  "not-http",
  "endless-messages",
  "wrong-frames",
  "handshakes-of-one",
  "wrong-payloads",
  "forged-trunks",
  "rest-without-a-key",
];
const RISE_MB_MAX = 150;

const run = (...args) =>
  new Promise((done) => {
    execFile(process.execPath, [TABLE, ...args], (error, out, err) => done({ code: error?.code ?? 0, out, err }));
  });

test("strangers attack, and nobody else is harmed", { skip: PLAIN, timeout: 120_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-attacks-"));
  const file = join(folder, "results.json");
  try {
    // The exit code also says whether latencies rose, which is nothing for a test.
    const small = ["--clients", "20", "--seconds", "1", "--calm", "0.5", "--json", file, "--only", CHOSEN.join(",")];
    const { out, err } = await run(...small);
    const results = JSON.parse(readFileSync(file, "utf8"));
    assert.deepEqual(
      results.map(({ name }) => name),
      CHOSEN,
      err,
    );
    for (const { name, lost, isNamed, note, rest, peak, served } of results) {
      assert.equal(lost, 0, `${name}: nobody lost anything`);
      assert.ok(isNamed, `${name}: a counter names it\n${out}`);
      assert.ok(Number.parseInt(note, 10) > 10, `${name}: it did something: ${note}`);
      assert.ok(peak - rest < RISE_MB_MAX, `${name}: from ${rest} to ${peak} MB`);
      assert.equal(served.newcomers[1] + served.trunks[1], 0, `${name}: newcomers and app servers get in`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("what is no attack is said at once", { skip: PLAIN }, async () => {
  const { code, err } = await run("--only", "nothing,mistyped");
  assert.notEqual(code, 0);
  assert.match(err, /no such attack: mistyped/);
  const { out } = await run("--list");
  assert.ok(out.trim().split("\n").length >= 40);
});
