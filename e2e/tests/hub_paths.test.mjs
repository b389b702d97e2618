// A path belongs to one hub: the one for which it is configured, or the first whose app servers ask for it, as long as
// one of them lives.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { until } from "../../testing/wait.mjs";
import { withWorld } from "../harness/test.mjs";
import { PLAIN } from "../harness/world.mjs";

const folder = mkdtempSync(join(tmpdir(), "trunkline-e2e-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, "trunkline.toml");
const KEYS = { alpha: "the-key-of-hub-alpha", beta: "the-key-of-hub-beta", gamma: "the-key-of-hub-gamma" };
const tables = Object.entries(KEYS).map(([hub, key]) => `[hub.${hub}]\nkeys = ["${key}"]\n`);
if (!PLAIN) writeFileSync(file, `${tables.join("")}path = "/gamma/"\n`);

const settings = { servers: [], args: ["--config", file], trunklineOnly: true };
const start = (world, hub, path, name = hub) =>
  world.startApp({ name, options: { path }, trunkline: { hub, key: KEYS[hub] } });
const served = async (world, path) => {
  const client = await world.client("/", { path, transports: ["websocket"] });
  return client.emitWithAck("server");
};
const answerAt = async (world, path) =>
  (await (await fetch(`${world.url}${path}?EIO=4&transport=polling`)).json()).error;

withWorld("a hub's app server does not get another hub's path, nor a part of it", settings, async (world) => {
  await start(world, "beta", "/beta");
  for (const path of ["/beta", "/beta/inner"]) {
    const alpha = await start(world, "alpha", path, `alpha at ${path}`);
    await until("a sentence in the app's log", () => alpha.log.count(/belongs to hub 'beta'/) === 1);
    assert.equal(await served(world, "/beta/"), "beta");
    assert.equal(await served(world, "/beta/inner/"), "beta");
    assert.equal(await served(world, "/clients/socketio/hubs/alpha"), alpha.name, "its clients have another way");
    await alpha.stop();
  }
  assert.equal(world.node.log.count(/which belongs to hub 'beta'/), 1, "once in ten seconds in the node's");
  assert.equal((await world.node.metrics()).get("trunkline_paths_refused_total"), 2);
});

withWorld("what nobody holds any more is there for the next hub, and not before", settings, async (world) => {
  const first = await start(world, "beta", "/shared");
  const second = await start(world, "beta", "/shared", "beta two");
  await start(world, "alpha", "/shared", "alpha, too early");
  await first.stop();
  await until("the other one", async () => (await served(world, "/shared/")) === "beta two");
  await second.stop();
  await until("nobody", async () => (await answerAt(world, "/shared/")) === "path_unknown");
  await start(world, "alpha", "/shared", "alpha, in time");
  assert.match(await served(world, "/shared/"), /^alpha/);
});

withWorld("a configured path is its hub's, whoever comes first", settings, async (world) => {
  await start(world, "alpha", "/gamma");
  assert.equal(await answerAt(world, "/gamma/"), "no_app_server");
  assert.equal(await answerAt(world, "/gamma"), "no_app_server");
  // In addition, its app server may have any path of its own.
  await start(world, "gamma", "/other");
  assert.equal(await served(world, "/gamma/"), "gamma");
  assert.equal(await served(world, "/other/"), "gamma");
  const { hubs } = await (await fetch(`${world.node.adminUrl}/api/v1/status`)).json();
  const { paths } = hubs.find(({ name }) => name === "gamma");
  assert.deepEqual(paths, ["/clients/socketio/hubs/gamma", "/gamma/", "/other/"]);
});
