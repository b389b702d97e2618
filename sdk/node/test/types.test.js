/** The published types hold no `any`: neither written, nor where the compiler found nothing better. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const dist = fileURLToPath(new URL("../dist", import.meta.url));
const files = readdirSync(dist, { recursive: true }).filter((name) => name.endsWith(".d.ts"));

test("both builds have types", () =>
  assert.ok(
    files.filter((name) => name.startsWith("esm")).length > 15 && files.some((name) => name.startsWith("cjs")),
  ));

for (const name of files) {
  test(name, () => {
    const text = readFileSync(`${dist}/${name}`, "utf8").replace(/\/\*[^]*?\*\/|\/\/.*|"[^"\n]*"/g, "");
    assert.doesNotMatch(text, /\bany\b/);
    // What a consumer does not have installed would be `any` to its compiler.
    for (const [, module] of readFileSync(`${dist}/${name}`, "utf8").matchAll(/from ["']([^"']+)["']/g)) {
      assert.match(module, /^(node:|\.\.?\/)/, `${name} imports ${module}`);
    }
  });
}
