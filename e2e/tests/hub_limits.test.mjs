// Limits of hubs: a full hub refuses its own newcomers, and no other hub notices.
import assert from "node:assert/strict";
import { once } from "node:events";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { promisify } from "node:util";
import { execFile } from "node:child_process";
import { until, within } from "../../testing/wait.mjs";
import { BINARY, startNode } from "../harness/node.mjs";
import { connected, PLAIN, TRANSPORTS, World } from "../harness/world.mjs";

const KEYS = { chat: "the-key-of-the-hub-called-chat-1", game: "the-key-of-the-hub-called-game-1" };
/** Two hubs; `chat` and `all` are lines of limits. */
const hubs = (chat, all = "") =>
  `${all}\n[hub.chat]\ndefault = true\nkeys = ["${KEYS.chat}"]\n${chat}\n[hub.game]\nkeys = ["${KEYS.game}"]\n`;
const at = (hub, transports = TRANSPORTS.websocket) => ({ ...transports, path: `/clients/socketio/hubs/${hub}` });

describe("limits of hubs", { skip: PLAIN }, () => {
  const worlds = [];
  after(() => Promise.all(worlds.map((world) => world.stop())));

  /** A node whose file has this text, and app servers `[hub, name]`; `reload` changes the file. */
  async function start(text, servers) {
    const world = new World();
    worlds.push(world);
    const file = join(process.env.TMPDIR ?? "/tmp", `trunkline-hubs-${process.pid}-${worlds.length}.toml`);
    writeFileSync(file, text);
    world.nodes.push(await startNode({ command: "serve", args: ["--config", file] }));
    world.reload = async (changed) => {
      writeFileSync(`${file}.new`, changed);
      renameSync(`${file}.new`, file);
      const readyFile = join(world.node.folder, "ready.json");
      return (await promisify(execFile)(BINARY, ["reload", "--config", file, "--ready-file", readyFile])).stdout;
    };
    world.stop = async () => {
      rmSync(file, { force: true });
      await World.prototype.stop.call(world);
    };
    world.serve = (hub, name) => world.startApp({ name, trunkline: { hub, key: KEYS[hub] } });
    world.hub = async (name) => (await world.node.status()).hubs.find((hub) => hub.name === name);
    const count = async (code) =>
      (await world.node.metrics()).get(`trunkline_edge_handshakes_total{outcome="${code}"}`);
    world.refused = async (hub, code) => {
      await assert.rejects(connected(world.open("/", at(hub, TRANSPORTS.polling))), new RegExp(code));
      // A WebSocket does not show the answer: the counter tells that it was the same.
      const before = await count(code);
      await assert.rejects(connected(world.open("/", at(hub))), /websocket error/);
      assert.equal(await count(code), before + 1);
      const polled = await fetch(`${world.url}/clients/socketio/hubs/${hub}/?EIO=4&transport=polling`);
      assert.deepEqual([polled.status, polled.headers.get("retry-after")], [503, "1"]);
      assert.equal((await polled.json()).error, code);
    };
    for (const [hub, name] of servers) await world.serve(hub, name);
    return world;
  }

  test("a full hub does not hurt the other, and a reload raises its limit", async () => {
    const world = await start(hubs("hub_sessions_max = 3"), [
      ["chat", "amber"],
      ["game", "blue"],
    ]);
    const first = await world.client("/", at("chat", TRANSPORTS.polling));
    const second = await world.client("/", at("chat", TRANSPORTS.upgrade));
    const third = await world.client("/", at("chat"));
    await world.refused("chat", "hub_sessions_full");
    assert.equal((await world.hub("chat")).sessions, 3, "an upgrade is no second session");
    for (let round = 0; round < 5; round += 1) {
      const player = await world.client("/", at("game", round % 2 ? TRANSPORTS.polling : TRANSPORTS.websocket));
      assert.equal(await player.emitWithAck("server"), "blue");
    }
    const metrics = await world.node.metrics();
    assert.equal(metrics.get('trunkline_edge_handshakes_total{outcome="hub_sessions_full"}'), 3);
    assert.equal(metrics.get('trunkline_hub_sessions{hub="chat"}'), 3);
    assert.equal(metrics.get('trunkline_hub_sessions{hub="game"}'), 5);
    assert.equal(metrics.get('trunkline_hub_app_servers{hub="game"}'), 1);
    assert.equal(metrics.get('trunkline_hub_limit{hub="chat",limit="hub_sessions_max"}'), 3);
    assert.equal(metrics.get('trunkline_hub_limit{hub="game",limit="hub_sessions_max"}'), undefined);
    assert.match(world.node.log.text, /handshakes refused with 503.*as many sessions.*hub=chat/);

    assert.match(await world.reload(hubs("hub_sessions_max = 4")), /changed: hub chat: limits/);
    const fourth = await world.client("/", at("chat"));
    await world.refused("chat", "hub_sessions_full");
    // A lower limit closes nobody; there is room when enough have gone.
    await world.reload(hubs("", "hub_sessions_max = 2"));
    for (const client of [first, second, third, fourth]) assert.equal(await client.emitWithAck("server"), "amber");
    assert.equal((await world.hub("game")).sessions, 5);
    await world.refused("game", "hub_sessions_full");
    for (const client of [first, second, third]) client.disconnect();
    await until("the ends", async () => (await world.hub("chat")).sessions === 1);
    const again = await world.client("/", at("chat", TRANSPORTS.upgrade));
    await world.refused("chat", "hub_sessions_full");
    // Every way out gives the place back: the client, the app, and a process that dies.
    const gone = once(again, "disconnect");
    again.io.engine.close();
    await within("its end", gone);
    await until("its place", async () => (await world.hub("chat")).sessions === 1);
    await world.app("amber").stop();
    await until("the end of the last", async () => (await world.hub("chat")).sessions === 0);
  });

  test("newcomers go to the app server that may have more, and are refused when none may", async () => {
    const limit = (most) => hubs(`app_server_sessions_max = ${most}`);
    const world = await start(limit(2), [
      ["chat", "amber"],
      ["chat", "teal"],
    ]);
    const clients = [];
    for (let count = 0; count < 4; count += 1) clients.push(await world.client("/", at("chat")));
    const homes = await Promise.all(clients.map((client) => client.emitWithAck("server")));
    assert.deepEqual(homes.sort(), ["amber", "amber", "teal", "teal"]);
    await world.refused("chat", "app_servers_full");
    await world.serve("chat", "rose");
    for (let count = 0; count < 2; count += 1) {
      const client = await world.client("/", at("chat", TRANSPORTS.polling));
      assert.equal(await client.emitWithAck("server"), "rose");
    }
    await world.refused("chat", "app_servers_full");
    await world.reload(limit('"off"'));
    await world.client("/", at("chat"));
  });

  test("a further app server is refused, says why, and comes when there is room", async () => {
    const world = await start(hubs("hub_app_servers_max = 1"), [
      ["chat", "amber"],
      ["game", "blue"],
      ["game", "navy"],
    ]);
    const client = await world.client("/", at("chat"));
    const further = world.serve("chat", "teal");
    await until("the node's log", () => /app server refused.*hub_app_servers_max/.test(world.node.log.text));
    const ends = 'trunkline_trunks_ended_total{cause="hub_app_servers_full"}';
    await until("two tries", async () => (await world.node.metrics()).get(ends) >= 2);
    assert.equal((await world.hub("chat")).app_servers.length, 1);
    await world.reload(hubs("hub_app_servers_max = 2"));
    await within("the further one", further);
    assert.match(world.app("teal").log.text, /hub_app_servers_max.*\(error 6\)/);
    assert.equal(await client.emitWithAck("server"), "amber", "the first one noticed nothing");
    assert.equal((await world.hub("game")).app_servers.length, 2);
  });

  test("clients of a hub that flood are read in turn; a quiet one and another hub go on", async () => {
    const world = await start(hubs("hub_messages_per_second = 50"), [
      ["chat", "amber"],
      ["game", "blue"],
    ]);
    const flooding = [TRANSPORTS.websocket, TRANSPORTS.websocket, TRANSPORTS.polling];
    const clients = [];
    for (const transports of flooding) clients.push(await world.client("/", at("chat", transports)));
    const quiet = await world.client("/", at("chat"));
    const player = await world.client("/", at("game"));
    const lost = [];
    for (const client of [...clients, quiet, player]) client.on("disconnect", (reason) => lost.push(reason));
    // At fifty per second this takes more than a minute.
    const each = 1500;
    const answers = clients.map(() => []);
    clients.forEach((client, place) => {
      for (let count = 0; count < each; count += 1) client.emit("echo", count, (again) => answers[place].push(again));
    });
    const slowed = 'trunkline_sessions_slowed_total{cause="hub_messages_per_second"}';
    await until("somebody waits", async () => (await world.node.metrics()).get(slowed) > 0);
    for (let round = 0; round < 10; round += 1) assert.equal(await quiet.emitWithAck("echo", round), round);
    for (let round = 0; round < 500; round += 1) assert.equal(await player.emitWithAck("echo", round), round);
    assert.ok(
      answers.every(({ length }) => length < each),
      `the flood is under way: ${answers.map(({ length }) => length)}`,
    );
    assert.ok((await world.node.metrics()).get('trunkline_hub_sessions_slowed{hub="chat"}') >= 1);
    assert.match(world.node.log.text, /read in turn.*hub=chat key="hub_messages_per_second"/);
    assert.match(await world.reload(hubs("")), /changed: hub chat: limits/);
    await until("the rest", () => answers.every(({ length }) => length === each));
    const inOrder = Array.from({ length: each }, (_, count) => count);
    for (const got of answers) assert.deepEqual(got, inOrder);
    assert.deepEqual(lost, []);
  });

  test("limits in a hub's table that are wrong are told by name", async () => {
    const world = await start(hubs("hub_sessions_max = 3"), []);
    const wrong = world.reload(hubs('hub_sessions_max = "many"\nhub_session_max = 3'));
    await assert.rejects(wrong, ({ stderr }) => {
      assert.match(stderr, /hub\.chat\.hub_sessions_max/);
      assert.match(stderr, /did you mean `hub_sessions_max`/);
      return true;
    });
  });
});
