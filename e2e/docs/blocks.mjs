// Every fenced block of every page, with what its page says about it: a comment right above the fence, which no reader
// sees.
//
//   <!-- docs: run NAME -->                         a file of e2e/docs/runs/ carries it out
//   <!-- docs: tested by PATH "NAME OF A TEST" -->  another test does
//   <!-- docs: not run, because REASON -->          nobody does; counted and listed in every run
//
// Without one a block is treated by its language: see `languages.mjs`.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The pages: tracked or new Markdown files, without generated ones. */
export function pages() {
  const listed = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "*.md"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  return listed
    .split("\n")
    .filter((path) => path !== "" && existsSync(ROOT + path))
    .sort();
}

export const textOf = (path) => readFileSync(ROOT + path, "utf8");

/** `{ page, line, language, text, word }`; `line` is the first line of the text, `word` is the comment above. */
export function blocksOf(page, source = textOf(page)) {
  const blocks = [];
  const lines = source.split("\n");
  let open;
  for (const [index, line] of lines.entries()) {
    const fence = /^(\s*)(`{3,}|~{3,})\s*(.*)$/.exec(line);
    if (open) {
      if (fence?.[2].startsWith(open.fence) && fence[3] === "") {
        blocks.push({
          page,
          line: open.index + 2,
          language: open.language,
          text: open.lines.join("\n"),
          word: open.word,
        });
        open = undefined;
      } else {
        open.lines.push(line.startsWith(open.indent) ? line.slice(open.indent.length) : line);
      }
    } else if (fence) {
      open = {
        index,
        indent: fence[1],
        fence: fence[2],
        language: fence[3].trim(),
        lines: [],
        word: wordAbove(lines, index),
      };
    }
  }
  if (open) throw new Error(`${page}:${open.index + 1}: a block that never ends`);
  return blocks;
}

function wordAbove(lines, index) {
  return /^\s*<!-- docs: (.*) -->\s*$/.exec(lines[index - 1] ?? "")?.[1];
}

/** The request in a comment; throws when it cannot be read. */
export function readWord(word) {
  const [, run] = /^run ([\w-]+)$/.exec(word) ?? [];
  if (run) return { kind: "run", run };
  const [, path, test] = /^tested by (\S+) "(.+)"$/.exec(word) ?? [];
  if (path) return { kind: "elsewhere", path, test };
  const [, reason] = /^not run, because (.{10,})$/.exec(word) ?? [];
  if (reason) return { kind: "not run", reason };
  throw new Error(`what does "docs: ${word}" mean? See e2e/docs/blocks.mjs`);
}

/** Commands in running text and tables: inline code whose first word is one of `programs`. */
export function inlineCommands(page, programs, source = textOf(page)) {
  const found = [];
  let fenced = false;
  for (const [index, line] of source.split("\n").entries()) {
    if (/^\s*(`{3,}|~{3,})/.test(line)) fenced = !fenced;
    if (fenced) continue;
    for (const [, code] of line.matchAll(/`([^`]+)`/g)) {
      if (programs.includes(code.split(" ")[0]) && code.includes(" "))
        found.push({ page, line: index + 1, text: code });
    }
  }
  return found;
}

export const placeOf = ({ page, line }) => `${page}:${line}`;
