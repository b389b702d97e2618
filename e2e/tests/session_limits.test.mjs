// What one session may send and be in. Each limit ends the session that breaks it, by a cause that its app and the
// operator see, and no other session notices.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { PollingSession, SEPARATOR } from "../../testing/engine.mjs";
import { next, until } from "../../testing/wait.mjs";
import { PLAIN, TRANSPORTS, World } from "../harness/world.mjs";

const KIB = "x".repeat(1_024);
/** Limits of what a session sends: the key, its flag's value, and a message of which a few thousand are too many. */
const RATES = [
  ["session_messages_per_second", "50", "m", ["websocket", "polling"]],
  ["session_bytes_per_second", "16KiB", KIB, ["websocket", "polling"]],
  // What is small only while it is compressed.
  ["session_inflated_bytes_per_second", "16KiB", KIB, ["websocket"]],
];
const flag = (key) => `--${key.replaceAll("_", "-")}`;

describe("limits per session", { skip: PLAIN && "Socket.IO has none", concurrency: true }, () => {
  const worlds = [];
  after(() => Promise.all(worlds.map((world) => world.stop())));

  async function start(args, options = {}) {
    // Loopback counts as any other address here, so that the log may name it.
    const world = await World.start({ args: ["--address-limits-exempt", "", ...args], options });
    worlds.push(world);
    await world.app("amber").run(({ io, note }) => {
      for (const name of ["/", "/static", /^\/dynamic-\d+$/])
        io.of(name).on("connection", (socket) =>
          socket.on("disconnect", (reason, details) => note("ended", { id: socket.id, reason, ...details?.context })),
        );
    });
    world.closed = async (cause) => {
      const metrics = await world.node.metrics();
      const ends = [...metrics].filter(([name]) => name.startsWith(`trunkline_sessions_closed_total{cause="${cause}"`));
      return ends.reduce((sum, [, count]) => sum + count, 0);
    };
    world.ended = (id) => world.app("amber").noted("ended", (note) => note.id === id);
    world.others = await Promise.all(["polling", "websocket"].map((name) => world.client("/", TRANSPORTS[name])));
    world.othersAreWell = async () => {
      for (const other of world.others) assert.equal(await other.emitWithAck("server"), "amber");
    };
    return world;
  }

  for (const [key, value, message, transports] of RATES) {
    for (const transport of transports) {
      test(`${key} over ${transport}`, async () => {
        const deflate = key.includes("inflated") ? { perMessageDeflate: { threshold: 0 } } : {};
        const world = await start([flag(key), value, "--session-flood-wait", "1s"], deflate);
        const flooder = await world.client("/", { ...TRANSPORTS[transport], ...deflate });
        const { id } = flooder;
        // Twenty times what it may send, and never so much that this process holds much of it.
        const flood = setInterval(() => {
          for (let left = 20; left > 0 && flooder.connected; left -= 1) flooder.emit("never", message);
        }, 20);
        const gone = next(flooder, "disconnect", 60_000).finally(() => clearInterval(flood));
        await until("it is slowed down", async () => {
          await world.othersAreWell();
          return (await world.node.metrics()).get(`trunkline_sessions_slowed_total{cause="${key}"}`) > 0;
        });
        await world.othersAreWell();
        await gone;
        assert.equal((await world.ended(id)).reason, "transport error");
        assert.equal(await world.closed("flooded"), 1);
        assert.match(world.node.log.text, new RegExp(`sent more than it may.*address=127\\.0\\.0\\.1.*key="${key}"`));
        await world.othersAreWell();
      });
    }
  }

  test("a session within its limits is never slowed down", async () => {
    const world = await start(RATES.flatMap(([key]) => [flag(key), key.includes("bytes") ? "1MiB" : "1000"]));
    for (let round = 0; round < 100; round += 1) await world.othersAreWell();
    const metrics = await world.node.metrics();
    for (const [key] of RATES) assert.equal(metrics.get(`trunkline_sessions_slowed_total{cause="${key}"}`), 0);
  });

  for (const transport of ["websocket", "polling"]) {
    test(`session_rooms_max over ${transport}`, async () => {
      const world = await start(["--session-rooms-max", "5"]);
      const client = await world.client("/", TRANSPORTS[transport]);
      const { id } = client;
      for (const room of ["a", "b", "c", "d", "e", "a", "e"]) assert.ok(await client.emitWithAck("join", room));
      await client.emitWithAck("leave", "a");
      assert.ok(await client.emitWithAck("join", "f"), "one that it has left does not count");
      const gone = next(client, "disconnect");
      client.emit("join", "g", () => undefined);
      await gone;
      const ended = await world.ended(id);
      assert.deepEqual(ended, { id, reason: "transport close", cause: "rooms_full", blame: "app_server" });
      assert.equal(await world.closed("rooms_full"), 1);
      assert.match(world.node.log.text, /session_rooms_max rooms.*cause="rooms_full"/);
      await world.othersAreWell();
      const again = await world.client("/", TRANSPORTS[transport]);
      for (const room of ["a", "b", "c", "d", "e"]) assert.ok(await again.emitWithAck("join", room), "a new start");
    });

    test(`session_namespaces_max over ${transport}`, async () => {
      const world = await start(["--session-namespaces-max", "3"]);
      const client = await world.client("/", TRANSPORTS[transport]);
      const { id } = client;
      const joined = async (name) => {
        const socket = client.io.socket(name);
        if (!socket.connected) await next(socket, "connect");
        return socket;
      };
      const first = await joined("/dynamic-1");
      await joined("/static");
      first.disconnect();
      await joined("/dynamic-2");
      assert.ok(await client.emitWithAck("server"), "three at once");
      const gone = next(client, "disconnect");
      client.io.socket("/dynamic-3");
      await gone;
      const ended = await world.ended(id);
      assert.deepEqual(ended, { id, reason: "transport close", cause: "namespaces_full", blame: "client" });
      assert.equal(await world.closed("namespaces_full"), 1);
      await world.othersAreWell();
    });
  }

  test("payload_packets_max", async () => {
    const world = await start(["--payload-packets-max", "10"]);
    const session = await PollingSession.open(world.node.port, { join: true });
    const packets = (count) => Array(count).fill('42["never"]').join(SEPARATOR);
    assert.equal((await session.post(packets(10))).status, 200);
    assert.equal((await session.post(packets(11))).status, 413);
    assert.equal((await session.get()).status, 400, "it has ended");
    assert.equal(await world.closed("parse_error"), 1);
    const cause = 'trunkline_edge_misbehaviour_total{cause="packets_too_many"}';
    assert.equal((await world.node.metrics()).get(cause), 1);
    await world.othersAreWell();
  });
});
