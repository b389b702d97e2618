// The map of `src`: which folder may look into which. Imports of types count: a reader follows them, too.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const src = fileURLToPath(new URL("../src", import.meta.url));
const files = readdirSync(src, { recursive: true })
  .map((name) => name.replaceAll("\\", "/"))
  .filter((name) => name.endsWith(".ts"));

/** What each file imports or passes on, as paths inside `src`. */
const imports = new Map(
  files.map((file) => {
    const text = readFileSync(`${src}/${file}`, "utf8");
    const found = [...text.matchAll(/\bfrom "(\.[^"]+)\.js"|\bimport\("(\.[^"]+)\.js"\)/g)].map(
      ([, one, other]) => one ?? other,
    );
    return [file, found.map((path) => posix.join(posix.dirname(file), `${path}.ts`))];
  }),
);

const folderOf = (file) => posix.dirname(file);
const folders = new Map();
for (const [file, targets] of imports) {
  const into = folders.get(folderOf(file)) ?? new Set();
  for (const target of targets) if (folderOf(target) !== folderOf(file)) into.add(folderOf(target));
  folders.set(folderOf(file), into);
}

/** The first circle in a graph, as the names along it; undefined when there is none. */
function circleIn(graph) {
  const done = new Set();
  const visit = (name, path) => {
    if (path.includes(name)) return [...path.slice(path.indexOf(name)), name];
    if (done.has(name)) return undefined;
    for (const next of graph.get(name) ?? []) {
      const circle = visit(next, [...path, name]);
      if (circle !== undefined) return circle;
    }
    done.add(name);
    return undefined;
  };
  for (const name of graph.keys()) {
    const circle = visit(name, []);
    if (circle !== undefined) return circle;
  }
  return undefined;
}

test("every import leads to a file, so that none is overlooked", () => {
  assert.ok(files.length > 40 && folders.size > 8);
  for (const [file, targets] of imports)
    for (const target of targets) assert.ok(imports.has(target), `${file} imports ${target}`);
});

test("no circle between folders", () => assert.equal(circleIn(folders)?.join(" → "), undefined));

test("no circle between files", () => assert.equal(circleIn(imports)?.join(" → "), undefined));

test("a circle would be found", () => {
  const graph = new Map([
    ["a", ["b"]],
    ["b", ["c", "d"]],
    ["c", []],
    ["d", ["b"]],
  ]);
  assert.deepEqual(circleIn(graph), ["b", "d", "b"]);
});
