/**
 * One file out of a bundler, and copies of socket.io beside each other: nothing is found by its place, and nothing
 * reaches only half of the sockets.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import ncc from "@vercel/ncc";
import { build } from "esbuild";
import { Server } from "socket.io";
import { useTrunkline } from "../dist/esm/index.js";
import { captureConsole, connectClient, haveServers, startCluster, until } from "./support/app.js";

const entry = fileURLToPath(new URL("./support/bundled-app.mjs", import.meta.url));
const root = fileURLToPath(new URL("../", import.meta.url));

/** Packages in an ES module still call `require` for Node.js' own modules. */
const REQUIRE = 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);';
const esbuild = (name, options) => async (folder) => {
  const outfile = join(folder, name);
  await build({ entryPoints: [entry], outfile, bundle: true, platform: "node", logLevel: "error", ...options });
  return outfile;
};
const BUNDLERS = {
  "esbuild, CommonJS": esbuild("app.cjs", { format: "cjs" }),
  "esbuild, ES module, minified": esbuild("app.mjs", { format: "esm", minify: true, banner: { js: REQUIRE } }),
  ncc: async (folder) => {
    const { code } = await ncc(entry, { quiet: true, cache: false });
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    writeFileSync(join(folder, "app.js"), code);
    return join(folder, "app.js");
  },
};

for (const [name, bundle] of Object.entries(BUNDLERS)) {
  test(`an app in one file (${name}) reaches the sockets of others, and others reach its own`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "trunkline-bundle-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const file = await bundle(folder);
    const { apps, nodes } = await startCluster(t, { apps: 1, io: () => ({ connectionStateRecovery: {} }) });
    const [{ io, trunk }] = apps;
    const child = spawn(process.execPath, [file], {
      cwd: folder,
      env: { ...process.env, TRUNKLINE_ENDPOINT: nodes[0].endpoint, NODE_PATH: "" },
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (chunk) => (output += chunk));
    const exited = once(child, "exit");
    t.after(() => child.kill());
    const theirs = await Promise.race([
      nodes[0].trunk(),
      exited.then(([code]) => assert.fail(`it ended with ${code}: ${output}`)),
    ]);
    await haveServers(io, 2);

    const mine = await connectClient(io, trunk, 1);
    const id = await theirs.connect(2);
    const ids = [mine.id, id].sort();
    assert.deepEqual((await io.fetchSockets()).map((socket) => socket.id).sort(), ids);
    const [found] = await io.serverSideEmitWithAck("fetch");
    assert.deepEqual(found.map(([each]) => each).sort(), ids);
    assert.deepEqual(
      found.find(([each]) => each === id),
      [id, 2],
    );

    io.in(id).socketsJoin("mine");
    assert.deepEqual((await theirs.next("Join")).rooms, ["room"]);
    assert.deepEqual((await theirs.next("Join")).rooms, ["mine"]);
    await io.serverSideEmitWithAck("join", mine.id, "theirs");
    await until(() => mine.rooms.has("theirs"));

    const acks = io.timeout(5000).emitWithAck("question");
    theirs.text(2, `3${/^2(\d+)/.exec(await broadcastText(theirs))[1]}["theirs"]`);
    trunk.text(1, `3${/^2(\d+)/.exec(await broadcastText(trunk))[1]}["mine"]`);
    assert.deepEqual((await acks).sort(), ["mine", "theirs"]);

    const left = once(mine, "disconnect");
    await io.serverSideEmitWithAck("disconnect all");
    assert.equal((await left)[0], "server namespace disconnect");
    io.serverSideEmit("leave");
    assert.equal((await exited)[0], 0, output);
    assert.equal(output, "");
  });
}

/** The text of the next broadcast that an app server hands to its node. */
async function broadcastText(trunk) {
  const { parts } = await trunk.next("Broadcast");
  return parts[0].data.toString();
}

test("two copies of socket.io and socket.io-adapter in one process: each app server is made of its own", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-copies-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const modules = join(folder, "node_modules");
  mkdirSync(modules);
  const copied = ["socket.io", "socket.io-adapter"];
  for (const name of readdirSync(join(root, "node_modules"))) {
    if (!name.startsWith(".") && !copied.includes(name))
      symlinkSync(join(root, "node_modules", name), join(modules, name));
  }
  for (const name of copied) cpSync(join(root, "node_modules", name), join(modules, name), { recursive: true });
  const require = createRequire(join(folder, "app.cjs"));
  const { Server: OtherServer } = require("socket.io");
  const { Adapter: OtherAdapter } = require("socket.io-adapter");
  assert.notEqual(OtherServer, Server);

  const warned = captureConsole(t, "warn");
  const { apps, nodes } = await startCluster(t, { apps: 1 });
  const [{ io, trunk }] = apps;
  const other = new OtherServer();
  const trunkline = useTrunkline(other, { endpoint: nodes[0].endpoint });
  t.after(() => trunkline.close());
  const theirs = await nodes[0].trunk();
  await haveServers(io, 2);
  assert.ok(other.of("/").adapter instanceof OtherAdapter && !(io.of("/").adapter instanceof OtherAdapter));

  const mine = await connectClient(io, trunk, 1);
  const socket = await connectClient(other, theirs, 2);
  for (const server of [io, other]) {
    assert.deepEqual((await server.fetchSockets()).map(({ id }) => id).sort(), [mine.id, socket.id].sort());
  }
  io.socketsJoin("a");
  await until(() => socket.rooms.has("a"));
  other.disconnectSockets();
  await until(() => mine.disconnected);
  assert.deepEqual(warned, []);
});
