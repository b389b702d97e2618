// Finds the scripts: every file in scripts/, every row of a script that is a table, and every case of a script with
// cases.
import { readdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), "../scripts");

/** All scripts whose name contains `pattern`: `{ name, file, row, proves, single, pair, run }`. */
export async function findScripts(pattern) {
  const files = readdirSync(root, { recursive: true })
    .filter((file) => file.endsWith(".mjs"))
    .sort();
  const scripts = [];
  for (const file of files) {
    const base = file.slice(0, -".mjs".length).replaceAll(path.sep, "/");
    const url = pathToFileURL(path.join(root, file)).href;
    scripts.push(...rowsOf(await import(url), base, url));
  }
  return scripts.filter((script) => !pattern || script.name.includes(pattern));
}

function rowsOf(module, base, file) {
  const rows = Object.keys(module.cases ?? module.table ?? { "": undefined });
  return rows.map((row) => {
    const one = module.cases?.[row] ?? module;
    return {
      name: row === "" ? base : `${base}: ${row}`,
      file,
      row: row === "" ? undefined : row,
      proves: [...(module.proves ?? []), ...(module.cases?.[row].proves ?? [])],
      single: one.single ?? module.single,
      pair: one.pair ?? module.pair ?? false,
      run: (t) => one.run(t, module.table?.[row]),
    };
  });
}
