/** A build while an app imports: the folder may be there by a symbolic link. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { place } from "../scripts/place.mjs";

const NAMES = ["index.js", "trunk/decode.js", "trunk/encode.js", "package.json"];
const whole = (text) => `// begin\n${text.repeat(20_000)}\n// end\n`;

function write(folder, names, text) {
  mkdirSync(join(folder, "trunk"), { recursive: true });
  for (const name of names) writeFileSync(join(folder, name), whole(text));
}

function scratch(t) {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-place-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test("what is there before and after is there all the time, and whole", async (t) => {
  const folder = scratch(t);
  const wanted = join(folder, "dist");
  write(wanted, NAMES, "old");
  const source = `import { place } from ${JSON.stringify(new URL("../scripts/place.mjs", import.meta.url).href)};
    import { mkdirSync, writeFileSync } from "node:fs";
    for (let round = 0; round < 200; round += 1) {
      mkdirSync(${JSON.stringify(join(folder, "built/trunk"))}, { recursive: true });
      for (const name of ${JSON.stringify(NAMES)}) writeFileSync(${JSON.stringify(`${folder}/built/`)} + name, ${JSON.stringify(whole("new"))});
      place(${JSON.stringify(join(folder, "built"))}, ${JSON.stringify(wanted)});
    }`;
  const builder = spawn(process.execPath, ["--input-type=module", "-e", source], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const ended = once(builder, "exit");
  let reads = 0;
  while (builder.exitCode === null && builder.signalCode === null) {
    for (const name of NAMES) {
      const text = readFileSync(join(wanted, name), "utf8");
      assert.ok(
        text === whole("old") || text === whole("new"),
        `${name} is half of something: ${text.length} characters`,
      );
      reads += 1;
    }
    await new Promise(setImmediate);
  }
  assert.deepEqual(await ended, [0, null]);
  assert.ok(reads > NAMES.length, "it was looked at meanwhile");
  assert.equal(readFileSync(join(wanted, NAMES[0]), "utf8"), whole("new"));
});

test("what the new build does not have goes, and the folder of the build, too", (t) => {
  const folder = scratch(t);
  write(join(folder, "dist"), NAMES, "old");
  write(join(folder, "built"), NAMES.slice(0, 2), "new");
  place(join(folder, "built"), join(folder, "dist"));
  assert.deepEqual(
    NAMES.map((name) => existsSync(join(folder, "dist", name))),
    [true, true, false, false],
  );
  assert.equal(existsSync(join(folder, "built")), false);
});
