import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import * as esm from "@trunkline/socket.io";
import { SDK } from "../dist/esm/version.js";
import { FakeNode } from "./support/fake-node.js";

const folder = fileURLToPath(new URL("..", import.meta.url));
const manifest = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));

test("ESM and CommonJS have the same surface", () => {
  const cjs = createRequire(import.meta.url)(folder);
  assert.deepEqual(Object.keys(cjs).sort(), Object.keys(esm).sort());
  assert.deepEqual(Object.keys(esm).sort(), [
    "DEFAULT_ENDPOINT",
    "DEFAULT_HUB",
    "DEVELOPMENT_KEY",
    "TokenError",
    "TrunklineError",
    "useTrunkline",
  ]);
});

test("the version in Hello is the package's", () => assert.equal(SDK, `${manifest.name}/${manifest.version}`));

test("socket.io is a peer, and little else is needed", () => {
  assert.deepEqual(Object.keys(manifest.peerDependencies), ["socket.io"]);
  assert.deepEqual(Object.keys(manifest.dependencies).sort(), ["debug", "ws"]);
});

test("only transport/ws knows ws, only socketio/ knows privates, and nothing is `any`", () => {
  const files = readdirSync(`${folder}/src`, { recursive: true }).filter((name) => name.endsWith(".ts"));
  assert.ok(files.length > 10);
  for (const name of files) {
    const text = readFileSync(`${folder}/src/${name}`, "utf8");
    if (name !== "transport/ws.ts") assert.doesNotMatch(text, /from "ws"/, name);
    if (!/^socketio[\\/]/.test(name)) assert.doesNotMatch(text, /_nsps|\b(io|inner)\.eio\b|_connectTimeout/, name);
    assert.doesNotMatch(text.replace(/\/\*[^]*?\*\/|\/\/.*|"[^"\n]*"|`[^`]*`/g, ""), /\bany\b|@ts-/, name);
  }
});

async function run(source, env = {}) {
  const child = spawn(process.execPath, ["--input-type=module", "-e", source], {
    cwd: folder,
    env: { ...process.env, ...env },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (chunk) => (output += chunk));
  const [code] = await once(child, "exit");
  return { code, output };
}

const APP =
  'import { Server } from "socket.io"; import { useTrunkline } from "@trunkline/socket.io"; const io = new Server(); const trunkline = useTrunkline(io);';

test("the process ends by itself after io.close(), and after a final refusal", async (t) => {
  const node = await FakeNode.start();
  const refusing = await FakeNode.start({
    refuse: () => ({ status: 401, body: { error: "token_signature", message: "wrong key" } }),
  });
  t.after(() => Promise.all([node.stop(), refusing.stop()]));
  const env = { TRUNKLINE_ENDPOINT: node.endpoint, TRUNKLINE_KEY: "my-secret-key", DEBUG: "trunkline:*" };
  const closed = await run(`${APP} await trunkline.ready; await io.close(); console.log("closed");`, env);
  assert.equal(closed.code, 0);
  assert.match(closed.output, /trunkline:trunk up: node n1/);
  assert.doesNotMatch(closed.output, /my-secret-key|eyJ/);
  const never = await run(`${APP} setImmediate(() => io.close());`, { TRUNKLINE_ENDPOINT: "http://127.0.0.1:9" });
  assert.equal(never.code, 0);
  const refused = await run(APP, { TRUNKLINE_ENDPOINT: refusing.endpoint });
  assert.equal(refused.code, 0);
  assert.match(refused.output, /token_signature: wrong key\. This is final/);
});

test("an adapter or parser of the app's own copy of socket.io is not needed at import", async () => {
  const { code } = await run('import "@trunkline/socket.io";');
  assert.equal(code, 0);
});
