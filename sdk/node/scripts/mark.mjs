// One source, two builds: each folder of dist says which module format it holds.
import { writeFileSync } from "node:fs";

for (const [folder, type] of [
  ["esm", "module"],
  ["cjs", "commonjs"],
]) {
  writeFileSync(new URL(`../dist/${folder}/package.json`, import.meta.url), `{ "type": "${type}" }\n`);
}
