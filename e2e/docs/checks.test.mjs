// The checks of the documentation can fail: each gets a fault that it must find.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { blocksOf, inlineCommands, readWord } from "./blocks.mjs";
import { CHECKED } from "./languages.mjs";
import { FOLDER, givenFor, kindOf, typeMistakes } from "./modules.mjs";
import { commandsIn, inlineMistakesIn, mistakesIn } from "./shell.mjs";

test("blocks are found with their lines, languages and words", () => {
  const page = [
    "text",
    "<!-- docs: run it -->",
    "```sh",
    "a",
    "",
    "b",
    "```",
    "  ~~~js",
    "  c",
    "  ~~~",
    "```",
    "picture",
    "```",
  ].join("\n");
  assert.deepEqual(blocksOf("a.md", page), [
    { page: "a.md", line: 4, language: "sh", text: "a\n\nb", word: "run it" },
    { page: "a.md", line: 9, language: "js", text: "c", word: undefined },
    { page: "a.md", line: 12, language: "", text: "picture", word: undefined },
  ]);
  assert.throws(() => blocksOf("a.md", "```sh\nnever ends"), /a\.md:1/);
  assert.deepEqual(
    inlineCommands("a.md", ["cargo"], "`cargo x` `cargo` `cargop x`\n```\n`cargo y`\n```").map(({ text }) => text),
    ["cargo x"],
  );
});

test("a block is left out for a reason, and not by a slip of the pen", () => {
  assert.deepEqual(readWord("run it"), { kind: "run", run: "it" });
  assert.deepEqual(readWord('tested by e2e/a.mjs "a name"'), { kind: "elsewhere", path: "e2e/a.mjs", test: "a name" });
  for (const word of ["not run", "not run, because", "not run, because no", "skip", "run", "tested by a.mjs"])
    assert.throws(() => readWord(word), word);
});

test("commands that do not exist are found", () => {
  const right = [
    "trunkline dev --listen 127.0.0.1:0",
    "trunkline config check",
    "cargo xtask test --only fmt",
    "cargo build -p trunkline",
    "(cd sdk/node && npm run build) && cd e2e",
    "FOO=1 curl http://127.0.0.1:8081/metrics | sh # words",
  ];
  for (const line of right) assert.deepEqual(mistakesIn(line), [], line);
  const wrong = {
    "trunkline devv": "no command",
    "trunkline dev --lissten x": "no flag --lissten",
    "trunkline config chekc": "no flag|no command|chekc",
    "trunkline bench echo --url http://127.0.0.1 --colour": "no flag --colour",
    "cargo xtask dance": "no command",
    "cargo xtask demo --fast": "no flag --fast",
    "cargo build -p nothing": "no package",
    "cd nowhere": "no such folder",
    "npm run nothing": "no script|no package.json",
    "node nowhere.mjs": "no file",
    "node bench/run.mjs --nonsense": "no flag --nonsense",
    "curl http://127.0.0.1:8081/api/v2": "no path",
    "a-program-of-nobody": "nobody here knows",
    "echo 'open": "unexpected",
  };
  for (const [line, what] of Object.entries(wrong)) assert.match(mistakesIn(line).join(), new RegExp(what), line);
  assert.deepEqual(inlineMistakesIn({ text: "cargo +nightly fuzz run <target>", page: "README.md" }), []);
  assert.deepEqual(commandsIn('a "b c" \\\n  d; e && f # g\nh'), [["a", "b c", "d"], ["e"], ["f"], ["h"]]);
});

test("configuration that a program refuses is found", () => {
  const page = "docs/a.md";
  const wrong = {
    toml: '[hub.chat]\nkeys = ["short"]',
    ini: "[Service]\nExecStart=/usr/local/bin/trunkline serve --lissten x",
    yaml: "scrape_configs:\n  - job: x",
    nginx: "server { listen 80; proxy_passs http://127.0.0.1:1; }",
    haproxy: "frontend f\n  bindd :80",
    json: "{ a: 1 }",
    sh: "trunkline sevre",
  };
  assert.deepEqual(Object.keys(wrong).sort(), Object.keys(CHECKED).sort());
  for (const [language, text] of Object.entries(wrong))
    assert.equal(CHECKED[language]({ text, page }).length > 0, true, language);
});

test("snippets that strict TypeScript refuses are found, at the page's line", async () => {
  // Next to the folder of the pages' snippets, because another test empties that one.
  const folder = `${mkdtempSync(join(FOLDER, "../.run-"))}/`;
  try {
    const texts = [
      "const io = new Server(httpServer);\nuseTrunkline(io, { keyy: 'x' });",
      'const socket = io("http://x");\nsocket.emitt("x");',
      "useTrunkline(io, { key: process.env.KEY });",
    ];
    assert.deepEqual(texts.map(kindOf), ["app", "client", "app"]);
    const snippets = texts.map((text, index) => ({
      block: { page: `${index}.md`, line: 10 },
      given: givenFor(text),
      text,
    }));
    const mistakes = await typeMistakes(snippets, folder);
    assert.deepEqual(
      mistakes
        .filter((line) => /^\d\.md/.test(line))
        .map((line) => line.split(": error")[0])
        .sort(),
      ["0.md:11", "1.md:11"],
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
