/**
 * Adapters of others, the real ones, installed in each place that their documents name: Trunkline's stays, and the
 * other is named once.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createAdapter as createClusterAdapter } from "@socket.io/cluster-adapter";
import { createAdapter as createRedisAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";
import { Adapter } from "socket.io-adapter";
import { connectClient, startApp, startCluster, until } from "./support/app.js";

const withRedis = {
  skip: spawnSync("redis-server", ["--version"]).error !== undefined && "redis-server is not installed",
};

async function startRedis(t) {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-redis-"));
  const path = join(folder, "redis.sock");
  const server = spawn("redis-server", ["--port", "0", "--unixsocket", path, "--save", "", "--dir", folder], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => {
    server.kill();
    rmSync(folder, { recursive: true, force: true });
  });
  for await (const line of server.stdout.setEncoding("utf8")) if (/ready to accept connections/i.test(line)) break;
  server.stdout.resume();
  const connect = async () => {
    const client = createClient({ socket: { path } });
    client.on("error", () => undefined);
    t.after(() => client.disconnect().catch(() => undefined));
    return client.connect();
  };
  const [pub, sub, look] = [await connect(), await connect(), await connect()];
  const channels = async () => [
    (await look.pubSubChannels()).length,
    Number(await look.sendCommand(["PUBSUB", "NUMPAT"])),
  ];
  return { pub, sub, channels };
}

test(
  "the Redis adapter behind useTrunkline: a broadcast is one frame, and everybody is reached",
  withRedis,
  async (t) => {
    const { pub, sub, channels } = await startRedis(t);
    const { apps } = await startCluster(t);
    const ids = [];
    for (const [index, { io, trunk }] of apps.entries()) {
      assert.equal(io.adapter(createRedisAdapter(pub, sub)), io);
      ids.push((await connectClient(io, trunk, index)).id);
    }
    for (const { io, trunk, warnings } of apps) {
      assert.deepEqual((await io.fetchSockets()).map(({ id }) => id).sort(), ids.toSorted());
      io.emit("once");
      const { parts, flags } = await trunk.next("Broadcast");
      assert.deepEqual([parts[0].data.toString(), flags & 2], ['2["once"]', 0]);
      assert.equal(warnings.length, 1);
      assert.match(warnings[0], /RedisAdapter was not installed: Trunkline's stays/);
    }
    assert.deepEqual(await channels(), [0, 0]);
  },
);

test(
  "the Redis adapter as an option of the server: Trunkline's takes its place, and it lets Redis go",
  withRedis,
  async (t) => {
    const { pub, sub, channels } = await startRedis(t);
    const { io, trunk, warnings } = await startApp(t, {
      io: { adapter: createRedisAdapter(pub, sub) },
      prepare: (server) => server.of("/early"),
    });
    for (const name of ["/", "/early", "/later"]) {
      io.of(name).emit("x");
      assert.equal(
        (await trunk.next("Broadcast")).parts[0].data.toString(),
        name === "/" ? '2["x"]' : `2${name},["x"]`,
      );
    }
    await until(async () => (await channels()).every((count) => count === 0));
    assert.equal(warnings.length, 1);
    assert.match(warnings[0], /RedisAdapter\) was replaced by Trunkline's/);
  },
);

test("the cluster adapter behind useTrunkline, twice, and with a namespace of later", async (t) => {
  const { io, trunk, warnings } = await startApp(t);
  const before = io.of("/").adapter;
  io.adapter(createClusterAdapter());
  io.adapter(createClusterAdapter());
  assert.equal(io.of("/").adapter, before);
  assert.equal(io.of("/later").adapter.constructor, before.constructor);
  assert.equal(io.adapter(), before.constructor);
  io.of("/later").emit("x");
  await trunk.next("Broadcast");
  assert.equal(warnings.length, 1);
  assert.match(warnings[0], /ClusterAdapter was not installed/);
});

test("an adapter that is put into one namespace is closed again", async (t) => {
  class Own extends Adapter {
    closed = 0;
    close() {
      this.closed++;
      throw new Error("no connection");
    }
  }
  const { io, trunk, warnings } = await startApp(t);
  for (const name of ["/", "/later"]) {
    const nsp = io.of(name);
    const own = new Own(nsp);
    nsp.adapter = own;
    assert.notEqual(nsp.adapter, own);
    nsp.to("room").emit("x");
    assert.deepEqual((await trunk.next("Broadcast")).rooms, ["room"]);
    assert.equal(own.closed, 1);
  }
  assert.equal(warnings.length, 1);
  assert.match(warnings[0], /the adapter Own was not installed/);
});

test("an adapter that is installed before anybody listens to warnings is named all the same", async (t) => {
  const { warnings } = await startApp(t, {
    prepare: (io) => process.nextTick(() => io.adapter(createClusterAdapter())),
  });
  assert.equal(warnings.length, 1);
});
