// Finds the scripts: every file in scripts/, and every row of a script that is a table.
import { readdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), "../scripts");

export async function findScripts(pattern) {
  const files = readdirSync(root, { recursive: true }).filter((file) => file.endsWith(".mjs")).sort();
  const scripts = [];
  for (const file of files) {
    const base = file.slice(0, -".mjs".length).replaceAll(path.sep, "/");
    const url = pathToFileURL(path.join(root, file)).href;
    const module = await import(url);
    const rows = module.table ? Object.keys(module.table) : [undefined];
    for (const row of rows) {
      const name = row === undefined ? base : `${base}: ${row}`;
      scripts.push({ name, file: url, row, run: (t) => module.run(t, row === undefined ? undefined : module.table[row]) });
    }
  }
  return scripts.filter((script) => !pattern || script.name.includes(pattern));
}
