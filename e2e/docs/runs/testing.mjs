// The page "Testing an app": its files, its commands, with mocha and jest, with a node and without.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { BINARY } from "../../harness/node.mjs";
import { FOLDER } from "../modules.mjs";
import { freePort } from "../ports.mjs";

export async function run(pile) {
  const folder = join(FOLDER, "testing");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  // Jest searches its root upwards; it must not find one of our folders.
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({ name: "app-under-test", private: true, type: "module" }),
  );
  for (const name of ["app.mjs", "mocha.test.mjs", "jest.test.mjs"])
    writeFileSync(join(folder, name), pile.take("js", `// ${name}\n`));

  const { TRUNKLINE_ENDPOINT, NODE_TEST_CONTEXT, NODE_OPTIONS, ...rest } = process.env;
  const env = {
    ...rest,
    CI: "1",
    PATH: `${dirname(BINARY)}:${join(FOLDER, "../node_modules/.bin")}:${process.env.PATH}`,
  };
  const type = (text) => spawnSync("bash", ["-uc", text], { cwd: folder, env, encoding: "utf8", timeout: 120_000 });

  const mocha = pile.take("sh", "mocha.test.mjs");
  const plain = type(mocha);
  assert.equal(plain.status, 0, plain.stdout + plain.stderr);
  assert.match(plain.stdout, /1 passing/);

  // Jest prints "did not exit" when a handle is left open: it must end by itself.
  const jest = pile.take("sh", "npx jest");
  const jested = type(jest);
  assert.equal(jested.status, 0, jested.stdout + jested.stderr);
  assert.match(jested.stderr, /Tests: +1 passed/);
  assert.doesNotMatch(jested.stderr, /did not exit/);

  const [port, admin] = [await freePort(), await freePort()];
  const behind = pile.take("sh", "trunkline dev").replaceAll("8090", String(port)).replaceAll("8091", String(admin));
  const trunked = type(`set -e\n${behind}`);
  assert.equal(trunked.status, 0, trunked.stdout + trunked.stderr);
  assert.match(trunked.stdout, /1 passing/);

  // The same for jest, and with a node that does not exist: so we see that the tests really need the node.
  const jestBehind = behind.replace(/ npx mocha .*$/m, ` ${jest}`);
  const both = type(`rm ready.json\nset -e\n${jestBehind}`);
  assert.equal(both.status, 0, both.stdout + both.stderr);
  const nobody = type(`TRUNKLINE_ENDPOINT=http://127.0.0.1:${await freePort()} timeout 5 ${mocha}`);
  assert.notEqual(nobody.status, 0, "without a node there is nothing to be served by");
}
