// The configuration of a running node changes: all of it or nothing, and only what used what is gone ends.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { epochSeconds, signToken } from "../../testing/token.mjs";
import { until, within } from "../../testing/wait.mjs";
import { BINARY, startNode } from "../harness/node.mjs";
import { connected, PLAIN, TRANSPORTS, World } from "../harness/world.mjs";

const OLD = "the-key-that-was-leaked-yesterday";
const NEW = "the-key-that-was-made-this-morning";
const GAME = "the-key-of-the-hub-called-game-1";
const chat = (...keys) => keysOf("chat", ...keys).replace("keys", "default = true\nkeys");
const keysOf = (hub, ...keys) => `[hub.${hub}]\nkeys = [${keys.map((key) => `"${key}"`).join(", ")}]\n`;
const at = (hub) => ({ ...TRANSPORTS.websocket, path: `/clients/socketio/hubs/${hub}` });
const polling = (hub) => ({ ...at(hub), ...TRANSPORTS.polling });

describe("reload", { skip: PLAIN }, () => {
  const worlds = [];
  after(() => Promise.all(worlds.map((world) => world.stop())));

  /** A node whose file has this text; `reload` changes it and runs `trunkline reload`. */
  async function start(text, { args = [] } = {}) {
    const world = new World();
    worlds.push(world);
    const folder = (world.folder = process.env.TMPDIR ?? "/tmp");
    world.file = join(folder, `trunkline-reload-${process.pid}-${worlds.length}.toml`);
    writeFileSync(world.file, text);
    world.nodes.push(await startNode({ command: "serve", args: ["--config", world.file, ...args] }));
    world.write = (changed) => {
      writeFileSync(`${world.file}.new`, changed);
      renameSync(`${world.file}.new`, world.file);
    };
    world.run = () => run(["reload", "--config", world.file, "--ready-file", join(world.node.folder, "ready.json")]);
    world.reload = async (changed) => {
      world.write(changed);
      const { code, out, error } = await world.run();
      assert.equal(code, 0, error);
      return out;
    };
    world.stop = async () => {
      rmSync(world.file, { force: true });
      await World.prototype.stop.call(world);
    };
    return world;
  }

  test("a key that is taken out cuts the trunks and the sessions that used it, and no others", async () => {
    const world = await start(chat(NEW, OLD));
    await world.startApp({ name: "old", trunkline: { hub: "chat", key: OLD } });
    const alone = await world.client("/", at("chat"));
    await world.startApp({ name: "new", trunkline: { hub: "chat", key: NEW } });
    const token = (key) => ({
      ...at("chat"),
      query: {
        access_token: signToken({ aud: `${world.url}/clients/socketio/hubs/chat`, exp: epochSeconds() + 60 }, { key }),
      },
    });
    const places = new Map();
    for (const [name, options] of [
      ["none", at("chat")],
      ["by new", token(NEW)],
      ["by old", token(OLD)],
    ]) {
      // On the app server that stays.
      for (;;) {
        const client = await world.client("/", options);
        if ((await client.emitWithAck("server")) === "new") {
          places.set(name, client);
          break;
        }
        client.disconnect();
      }
    }
    const lost = [once(alone, "disconnect"), once(places.get("by old"), "disconnect")];
    const out = await world.reload(chat(NEW));
    assert.match(out, /changed: hub chat: keys/);
    await within("the ends of those that used the key", Promise.all(lost));
    await until("the app server's log", () => world.app("old").log.text.includes("(error 10)"));
    await until("its next attempt", () => world.app("old").log.text.includes("token_signature"));
    assert.equal(await places.get("none").emitWithAck("server"), "new");
    assert.equal(await places.get("by new").emitWithAck("server"), "new");
    const metrics = await world.node.metrics();
    assert.equal(metrics.get('trunkline_trunks_ended_total{cause="key_removed"}'), 1);
    assert.equal(metrics.get('trunkline_sessions_closed_total{cause="key_removed",blame="node"}'), 1);
    assert.doesNotMatch(world.node.log.text + out, new RegExp(`${OLD}|${NEW}`), "no key in a log");
    assert.match(world.node.log.text, /audit.*action="reload".*outcome="applied"/);
  });

  test("a hub that is added serves at once, one that is removed ends, and may return", async () => {
    const world = await start(chat(NEW));
    await world.startApp({ name: "amber", trunkline: { hub: "chat", key: NEW } });
    const stays = await world.client("/", at("chat"));
    const out = await world.reload(chat(NEW) + keysOf("game", GAME));
    assert.match(out, /changed: hub game is added/);
    await world.startApp({ name: "blue", trunkline: { hub: "game", key: GAME } });
    const player = await world.client("/", at("game"));
    assert.equal(await player.emitWithAck("server"), "blue");
    const gone = once(player, "disconnect");
    assert.match(await world.reload(chat(NEW)), /changed: hub game is removed/);
    await within("the player's end", gone);
    await until("the app server's log", () => world.app("blue").log.text.includes("(error 11)"));
    await assert.rejects(connected(world.open("/", polling("game"))), /hub_unknown/);
    const metrics = await world.node.metrics();
    assert.equal(metrics.get('trunkline_sessions_closed_total{cause="hub_removed",blame="node"}'), 1);
    await world.reload(chat(NEW) + keysOf("game", GAME));
    await until("the app server's return", async () => {
      const { hubs } = await world.node.status();
      return hubs.find(({ name }) => name === "game")?.app_servers.length === 1;
    });
    assert.equal(await (await world.client("/", at("game"))).emitWithAck("server"), "blue");
    assert.match(
      await world.reload(`${keysOf("chat", NEW)}${keysOf("game", GAME)}default = true\n`),
      /the default hub is game/,
    );
    assert.equal(await (await world.client("/", TRANSPORTS.websocket)).emitWithAck("server"), "blue");
    assert.equal(await stays.emitWithAck("server"), "amber");
  });

  test("mistakes are told together and nothing changes; what needs a restart is named", async () => {
    const good = chat(NEW);
    const world = await start(good);
    await world.startApp({ name: "amber", trunkline: { hub: "chat", key: NEW } });
    world.write(`sessions_max = "many"\ndrain = 7\n${keysOf("game", "short")}`);
    const { code, error } = await world.run();
    assert.equal(code, 1);
    for (const key of ["sessions_max", "drain", "hub.game.keys"]) assert.ok(error.includes(key), `${key}\n${error}`);
    // Without `trunkline reload` before it, the node itself sees what is wrong.
    const refused = async (why, spoil) => {
      const before = (await world.node.status()).reloads.done;
      spoil();
      world.node.child.kill("SIGHUP");
      const { last } = await until(why, async () => {
        const { reloads } = await world.node.status();
        return reloads.done > before && reloads;
      });
      assert.equal(last.outcome, "refused", why);
      assert.notEqual(last.mistakes.length, 0, why);
    };
    await refused("a mistake", () => undefined);
    await refused("half of a file", () => world.write(good.slice(0, -10)));
    await refused("no file", () => rmSync(world.file));
    assert.equal(await (await world.client("/", at("chat"))).emitWithAck("server"), "amber");
    const out = await world.reload(`io_uring = "off"\nsessions_max = 1\nlog = "debug"\n${good}`);
    assert.match(out, /changed: sessions_max/);
    assert.match(out, /needs a restart: io_uring/);
    await assert.rejects(connected(world.open("/", polling("chat"))), /sessions_full/);
    await until("a line at debug", () => /DEBUG/.test(world.node.log.text));
    const { reloads } = await world.node.status();
    assert.deepEqual([reloads.done, reloads.last.outcome, reloads.last.needs_restart], [4, "applied", ["io_uring"]]);
    const metrics = await world.node.metrics();
    assert.equal(metrics.get('trunkline_reloads_total{outcome="refused"}'), 3);
  });

  test("a storm of handshakes and messages notices nothing of many reloads, two at a time", async () => {
    const base = chat(NEW);
    const world = await start(base);
    await world.startApp({ name: "amber", trunkline: { hub: "chat", key: NEW } });
    const steady = await Promise.all(Array.from({ length: 10 }, () => world.client("/", at("chat"))));
    const lost = [];
    for (const client of steady) client.on("disconnect", (reason) => lost.push(reason));
    let storms = true;
    let opened = 0;
    const storm = async (options) => {
      while (storms) {
        const client = await world.client("/", options);
        assert.equal(await client.emitWithAck("server"), "amber");
        client.disconnect();
        opened += 1;
      }
    };
    const storming = [at("chat"), polling("chat"), at("chat")].map(storm);
    for (let round = 0; round < 8; round += 1) {
      world.write(`sessions_max = ${1000 + round}\n${base}${round % 2 ? keysOf(`extra${round}`, GAME) : ""}`);
      const both = await Promise.all([world.run(), world.run()]);
      assert.deepEqual(
        both.map(({ code }) => code),
        [0, 0],
        both.map(({ error }) => error).join("\n"),
      );
      const { reloads } = await world.node.status();
      assert.equal(reloads.begun, reloads.done);
    }
    await until("some handshakes", () => opened > 20);
    storms = false;
    await Promise.all(storming);
    for (const client of steady) assert.equal(await client.emitWithAck("server"), "amber");
    assert.deepEqual(lost, []);
  });

  test("a node that cannot be found or does not reload is named as such", async () => {
    const nowhere = await run(["reload", "--admin", "off"]);
    assert.deepEqual([nowhere.code, /cannot be found/.test(nowhere.error)], [1, true], nowhere.error);
    const unused = await run(["reload", "--ready-file", "/nonexistent/ready.json"]);
    assert.deepEqual([unused.code, /no node runs/.test(unused.error)], [1, true], unused.error);
    const node = await startNode();
    try {
      const dev = await run(["reload", "--admin", node.ready.admin]);
      assert.deepEqual([dev.code, /trunkline dev/.test(dev.error)], [1, true], dev.error);
      assert.equal((await node.status()).reloads.begun, 0, "it still runs");
    } finally {
      await node.stop();
    }
  });

  test("a node that drains refuses", async () => {
    const world = await start(chat(NEW), { args: ["--drain-wait", "30s"] });
    world.node.child.kill("SIGTERM");
    await until("the drain", () => world.node.log.text.includes("draining"));
    const { code, error } = await world.run();
    assert.deepEqual([code, /draining/.test(error)], [1, true], error);
    assert.match(world.node.log.text, /audit.*action="drain".*outcome="begun"/);
    world.node.child.kill("SIGTERM");
  });
});

/** Runs the binary to its end. */
function run(args) {
  return new Promise((done) => {
    execFile(BINARY, args, (failed, out, error) => done({ code: failed === null ? 0 : failed.code, out, error }));
  });
}
