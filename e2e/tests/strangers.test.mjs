// What one address may have and do. Addresses of 127.0.0.0/8 are different strangers here.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { engineUrl, socketUrl } from "../../testing/engine.mjs";
import { RawStream } from "../../testing/stream.mjs";
import { until } from "../../testing/wait.mjs";
import { upgradeHead } from "../../testing/websocket.mjs";
import { PLAIN, World } from "../harness/world.mjs";

const EVERYBODY_COUNTS = ["--address-limits-exempt", ""];

/** Sends one request from an address; resolves with the answer, whose stream stays open until `keep` says otherwise. */
async function ask(world, localAddress, path = engineUrl(), { headers = {}, method = "GET" } = {}) {
  const stream = new RawStream(world.node.port, { localAddress });
  const answer = await stream.request(method, path, { headers });
  stream.destroy();
  return answer ?? { status: 0 };
}

/** Opens a WebSocket from an address: the stream, once its answer has begun. */
async function dial(world, localAddress, headers = {}) {
  const stream = new RawStream(world.node.port, { localAddress });
  stream.write(upgradeHead(socketUrl(), headers));
  await until("an answer", () => stream.status || stream.ended);
  return stream;
}

const refused = async (world, cause) => {
  const metrics = await world.node.metrics();
  const names = ["trunkline_edge_requests_refused_total", "trunkline_edge_streams_refused_total"];
  return names.map((name) => metrics.get(`${name}{cause="${cause}"}`) ?? 0).reduce((sum, count) => sum + count);
};

function isTooMany({ status, headers, body }, error) {
  assert.equal(status, 429, body);
  assert.equal(JSON.parse(body).error, error);
  assert.match(headers["retry-after"], /^[1-9]\d*$/);
}

/** A world with these keys, for a test. */
async function withWorld(args, run) {
  const world = await World.start({ args: [...EVERYBODY_COUNTS, ...args] });
  try {
    await run(world);
  } catch (error) {
    error.message += `\n${world.logs}`;
    throw error;
  } finally {
    await world.stop();
  }
}

describe("limits per address", { skip: PLAIN && "Socket.IO has none" }, () => {
  test("one address has its sessions, the others have theirs, and an ended one makes room", () =>
    withWorld(["--address-sessions-max", "3"], async (world) => {
      const streams = [];
      for (let number = 0; number < 3; number += 1) streams.push(await dial(world, "127.0.0.2"));
      assert.deepEqual(
        streams.map(({ status }) => status),
        [101, 101, 101],
      );
      isTooMany(await ask(world, "127.0.0.2"), "address_sessions_full");
      const fourth = await dial(world, "127.0.0.2");
      assert.equal(fourth.status, 429);
      await fourth.closed();
      assert.equal((await ask(world, "127.0.0.3")).status, 200);
      assert.equal(await refused(world, "address_sessions_full"), 2);
      assert.match(
        world.node.log.text,
        /address_sessions_max allows more.* address=127\.0\.0\.2 cause="address_sessions_full"/,
      );
      streams[0].destroy();
      await until("room", async () => (await ask(world, "127.0.0.2")).status === 200);
      isTooMany(await ask(world, "127.0.0.2"), "address_sessions_full");
    }));

  test("one address has its streams", () =>
    withWorld(["--address-streams-max", "4"], async (world) => {
      const held = [];
      for (let number = 0; number < 4; number += 1) {
        held.push(await RawStream.open(world.node.port, { localAddress: "127.0.0.2" }));
      }
      const fifth = await new RawStream(world.node.port, { localAddress: "127.0.0.2" }).closed();
      isTooMany(fifth.responses[0], "address_streams_full");
      assert.equal((await ask(world, "127.0.0.3")).status, 200);
      assert.equal(await refused(world, "address_streams_full"), 1);
      held[0].destroy();
      await until("room", async () => (await ask(world, "127.0.0.2")).status === 200);
      for (const stream of held) stream.destroy();
    }));

  test("one address opens sessions at its rate, over either transport", () =>
    withWorld(["--address-handshakes-per-second", "1"], async (world) => {
      const statuses = [];
      for (let number = 0; number < 8; number += 1) {
        statuses.push((await ask(world, "127.0.0.2")).status, (await dial(world, "127.0.0.2")).status);
      }
      assert.deepEqual(statuses.slice(0, 10), [200, 101, 200, 101, 200, 101, 200, 101, 200, 101]);
      assert.ok(statuses.includes(429), statuses);
      isTooMany(await ask(world, "127.0.0.2"), "address_handshakes");
      assert.equal((await ask(world, "127.0.0.3")).status, 200);
      assert.ok((await refused(world, "address_handshakes")) >= 2);
    }));

  test("who fails too often gets a cheap answer, then none, and takes nobody along", () =>
    withWorld(["--address-failures-per-second", "1"], async (world) => {
      const unknown = engineUrl({ sid: "nobody" });
      const asked = async (from) => (await ask(world, from, unknown)).status;
      const first = [];
      for (let number = 0; number < 10; number += 1) first.push(await asked("127.0.0.2"));
      assert.deepEqual(new Set(first), new Set([400]));
      await until("a cheap answer", async () => (await asked("127.0.0.2")) === 429);
      const kinds = [
        ["/nowhere", {}],
        ["/clients/socketio/hubs/unknown/", {}],
        ["/socket.io/?EIO=4&transport=pigeon", {}],
        ["/trunk/v1", { headers: { upgrade: "websocket", connection: "upgrade" } }],
      ];
      for (const [path, options] of kinds) isTooMany(await ask(world, "127.0.0.2", path, options), "address_failures");
      // What does not fail is served, until the address is banned.
      assert.equal((await ask(world, "127.0.0.2")).status, 200);
      const garbage = async () =>
        new RawStream(world.node.port, { localAddress: "127.0.0.2" }).write("\0\r\n\r\n").closed();
      await until("a ban", async () => {
        await garbage();
        return (await refused(world, "address_banned")) > 0;
      });
      assert.notEqual((await ask(world, "127.0.0.2")).status, 200);
      assert.equal((await ask(world, "127.0.0.3")).status, 200);
      assert.match(
        world.node.log.text,
        /address_failures_per_second allows more.* address=127\.0\.0\.2 cause="address_banned"/,
      );
    }));

  test("loopback is exempt unless that is changed", async () => {
    const world = await World.start({ args: ["--address-sessions-max", "1", "--address-streams-max", "1"] });
    try {
      for (let number = 0; number < 3; number += 1) assert.equal((await dial(world, "127.0.0.2")).status, 101);
    } finally {
      await world.stop();
    }
  });
});

describe("lists of addresses", { skip: PLAIN && "Socket.IO has none" }, () => {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-lists-"));
  test.after(() => rmSync(folder, { recursive: true }));
  const list = (name, text) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };

  test("a denied address gets 403 for whatever it asks, and others are served", () =>
    withWorld(["--deny-file", list("deny", "# scanners\n127.0.0.2\n127.0.3.0/24\n")], async (world) => {
      for (const address of ["127.0.0.2", "127.0.3.77"]) {
        const stream = await new RawStream(world.node.port, { localAddress: address }).closed();
        assert.equal(stream.responses[0].status, 403);
        assert.equal(JSON.parse(stream.responses[0].body).error, "address_denied");
      }
      assert.equal((await ask(world, "127.0.0.3")).status, 200);
      assert.equal((await ask(world, "127.0.4.1")).status, 200);
      assert.equal(await refused(world, "address_denied"), 2);
    }));

  test("only allowed addresses are served, except denied ones", () => {
    const files = ["--allow-file", list("allow", "127.0.0.0/29\n"), "--deny-file", list("deny2", "127.0.0.6\n")];
    return withWorld(files, async (world) => {
      assert.equal((await ask(world, "127.0.0.5")).status, 200);
      for (const [address, error] of [
        ["127.0.0.9", "address_not_allowed"],
        ["127.0.0.6", "address_denied"],
      ]) {
        const stream = await new RawStream(world.node.port, { localAddress: address }).closed();
        assert.equal(JSON.parse(stream.responses[0].body).error, error);
      }
    });
  });

  test("a denied client behind a trusted proxy gets 403, and the proxy's other clients are served", () => {
    const files = ["--deny-file", list("deny3", "192.0.2.66\n127.0.0.1\n"), "--trusted-proxies", "127.0.0.1"];
    return withWorld(files, async (world) => {
      const stream = new RawStream(world.node.port);
      const as = (client) => stream.request("GET", engineUrl(), { headers: { "x-forwarded-for": client } });
      assert.equal((await as("192.0.2.1")).status, 200);
      const answer = await as("1.1.1.1, 192.0.2.66");
      assert.deepEqual([answer.status, JSON.parse(answer.body).error], [403, "address_denied"]);
    });
  });
});

describe("origins", { skip: PLAIN && "Socket.IO does not check those of WebSockets" }, () => {
  test("a page of another origin gets 403 over either transport, before the app is asked", () =>
    withWorld(["--allowed-origins", "https://app.example.com,https://*.example.org"], async (world) => {
      const at = (origin) => ({ headers: { origin } });
      for (const origin of ["https://app.example.com", "https://a.b.example.org"]) {
        assert.equal((await ask(world, "127.0.0.2", engineUrl(), at(origin))).status, 200, origin);
        assert.equal((await dial(world, "127.0.0.2", { origin })).status, 101, origin);
      }
      // Programs that are no browsers send none.
      assert.equal((await ask(world, "127.0.0.2")).status, 200);
      assert.equal((await dial(world, "127.0.0.2")).status, 101);
      const before = (await world.node.metrics()).get('trunkline_edge_handshakes_total{outcome="accepted"}');
      for (const origin of ["https://evil.example", "http://app.example.com", "https://example.org", "null", ""]) {
        for (const method of ["GET", "POST", "OPTIONS"]) {
          const { status, body } = await ask(world, "127.0.0.2", engineUrl(), { ...at(origin), method });
          assert.deepEqual([status, JSON.parse(body).error], [403, "origin_not_allowed"], `${method} ${origin}`);
        }
        const stream = await dial(world, "127.0.0.2", { origin });
        assert.equal(stream.status, 403, origin);
        await stream.closed();
      }
      const after = await world.node.metrics();
      assert.equal(after.get('trunkline_edge_handshakes_total{outcome="accepted"}'), before);
      assert.equal(after.get('trunkline_edge_requests_refused_total{cause="origin_not_allowed"}'), 20);
    }));
});
