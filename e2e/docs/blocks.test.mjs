// Every code block of every page runs, or its page names the test that runs it, or says why none does.
import assert from "node:assert/strict";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { KEY } from "../harness/azure.mjs";
import { startNode } from "../harness/node.mjs";
import { World } from "../harness/world.mjs";
import { ROOT, blocksOf, inlineCommands, pages, placeOf, readWord } from "./blocks.mjs";
import { CHECKED, MODULES, folderOf } from "./languages.mjs";
import {
  AZURE_FOLDER,
  FOLDER,
  emptyFolders,
  givenFor,
  givenToRun,
  isAzure,
  kindOf,
  placed,
  runModule,
  typeMistakes,
} from "./modules.mjs";
import { INLINE, inlineMistakesIn } from "./shell.mjs";

const blocks = pages().flatMap((page) => blocksOf(page));
for (const block of blocks) block.treatment = treatmentOf(block);
const of = (kind) => blocks.filter(({ treatment }) => treatment.kind === kind);

function treatmentOf({ word, language }) {
  if (word !== undefined) {
    try {
      return readWord(word);
    } catch (error) {
      return { kind: "unreadable", error };
    }
  }
  if (MODULES.includes(language)) return { kind: "module" };
  return { kind: CHECKED[language] ? "checked" : "untreated" };
}

const snippetOf = (block) => ({ block, given: givenFor(block.text), text: block.text });

test("every block has its treatment, and no page is forgotten", (t) => {
  for (const { treatment } of of("unreadable")) throw treatment.error;
  const untreated = of("untreated").map(
    (block) => `${placeOf(block)}: a block of "${block.language}" that nothing here can run: see e2e/docs/blocks.mjs`,
  );
  assert.deepEqual(untreated, []);
  for (const page of ["README.md", "docs/guide/getting-started.md", "sdk/node/README.md", "spec/trunk.md"])
    assert.ok(pages().includes(page), page);
  const counts = ["module", "checked", "run", "elsewhere", "not run"].map((kind) => `${of(kind).length} ${kind}`);
  t.diagnostic(`${blocks.length} blocks: ${counts.join(", ")}`);
  for (const block of of("not run")) t.diagnostic(`not run: ${placeOf(block)}, because ${block.treatment.reason}`);
});

test("what is tested elsewhere is tested there", () => {
  for (const block of of("elsewhere")) {
    const { path, test: name } = block.treatment;
    assert.ok(readFileSync(ROOT + path, "utf8").includes(name), `${placeOf(block)}: ${path} has no test "${name}"`);
  }
});

describe("blocks that a program checks", () => {
  for (const block of of("checked")) {
    test(`${placeOf(block)} (${block.language})`, () => assert.deepEqual(CHECKED[block.language](block), []));
  }
});

test("commands in running text and tables: programs, commands, flags, files", () => {
  const mistakes = pages()
    .filter((page) => page !== "CHANGELOG.md" && !page.startsWith("docs/adr/"))
    .flatMap((page) => inlineCommands(page, INLINE))
    .flatMap((command) =>
      inlineMistakesIn(command, folderOf(command.page)).map((mistake) => `${placeOf(command)}: ${mistake}`),
    );
  assert.deepEqual(mistakes, []);
});

describe("snippets", () => {
  // The scripts of conformance are plain JavaScript; a snippet that imports a file of the reader's own has no types for
  // it.
  const typed = ({ page, text }) => !page.startsWith("conformance/") && !/from "\.\//.test(text);
  const modules = blocks.filter(
    (block) => MODULES.includes(block.language) && block.treatment.kind !== "not run" && typed(block),
  );
  // Two nodes: an app of a page has one of its own, so that no other app server gets its client.
  let forApps;
  let forClients;
  before(async () => {
    emptyFolders();
    const hubs = join(FOLDER, "hubs.toml");
    writeFileSync(hubs, `[hub.default]\ndefault = true\nkeys = ["${KEY}"]\n[hub.support]\nkeys = ["${KEY}"]\n`);
    forApps = await startNode({ args: ["--config", hubs] });
    forClients = await World.start();
  });
  after(async () => {
    await forClients?.stop();
    await forApps?.stop();
    emptyFolders();
  });

  test("all are right under strict TypeScript, with exactOptionalPropertyTypes", async () => {
    assert.ok(modules.length > 10, "the pages have snippets");
    assert.deepEqual(await typeMistakes(modules.filter((block) => !isAzure(block)).map(snippetOf)), []);
    assert.deepEqual(await typeMistakes(modules.filter(isAzure).map(snippetOf), AZURE_FOLDER), []);
  });

  for (const block of of("module")) {
    const kind = kindOf(block.text);
    test(`${placeOf(block)} (${kind})`, async () => {
      const url = kind === "client" ? forClients.url : forApps.url;
      const name = `${block.page.replace(/\W/g, "-")}-${block.line}.mjs`;
      const { code, said } = await runModule(
        name,
        `${givenToRun(block.text)}${placed(block.text, url)}\n${follows(block.text, kind)}`,
        { env: environment(block.text, url) },
      );
      assert.equal(code, 0, said);
    });
  }

  function follows(text, kind) {
    const helpers = JSON.stringify(new URL("after.mjs", import.meta.url).href);
    if (kind === "client") return `{ const { afterClient } = await import(${helpers}); await afterClient(socket); }`;
    if (kind === "module") return "";
    const trunk = text.includes("useTrunkline(") ? "" : '(await import("@trunkline/socket.io")).useTrunkline(io); ';
    return `{ ${trunk}const { afterApp } = await import(${helpers}); await afterApp(io); }`;
  }

  function environment(text, url) {
    const hub = /hub: "(\w+)"/.exec(text)?.[1] ?? "default";
    return {
      TRUNKLINE_ENDPOINT: url,
      DOCS_URL: url,
      DOCS_PATH: `/clients/socketio/hubs/${hub}`,
      HUB_KEY: KEY,
      SUPPORT_KEY: KEY,
    };
  }
});

describe("blocks that a run carries out", () => {
  const names = readdirSync(fileURLToPath(new URL("runs/", import.meta.url))).map((file) => file.replace(/\.mjs$/, ""));
  test("every run that a page names is there, and every run is named by a page", () => {
    assert.deepEqual([...new Set(of("run").map(({ treatment }) => treatment.run))].sort(), names.sort());
  });
  for (const name of names) {
    test(name, async () => {
      const { run } = await import(`./runs/${name}.mjs`);
      const pile = new Pile(of("run").filter(({ treatment }) => treatment.run === name));
      await run(pile);
      assert.deepEqual(pile.left(), [], "blocks that the run did not take");
    });
  }
});

/** The blocks of one run, which takes them one by one. */
class Pile {
  #blocks;
  constructor(blocks) {
    this.#blocks = [...blocks];
  }
  /** The text of the next block of this language that contains `part`. */
  take(language, part = "") {
    const index = this.#blocks.findIndex((block) => block.language === language && block.text.includes(part));
    if (index < 0) throw new Error(`the pages have no block of "${language}" with "${part}" for this run`);
    return this.#blocks.splice(index, 1)[0].text;
  }
  left() {
    return this.#blocks.map(placeOf);
  }
}
