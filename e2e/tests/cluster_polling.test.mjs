// Clients that only poll, behind plain round robin: any node takes any request.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import test, { after, before, describe } from "node:test";
import { fileURLToPath } from "node:url";
import { engineUrl, PollingSession } from "../../testing/engine.mjs";
import { Log } from "../../testing/log.mjs";
import { RawStream, request } from "../../testing/stream.mjs";
import { until } from "../../testing/wait.mjs";
import { ClusterWorld } from "../harness/cluster_world.mjs";
import { clusterOf } from "../harness/members.mjs";
import { connected, PLAIN } from "../harness/world.mjs";

const PYTHON =
  process.env.E2E_PYTHON ?? fileURLToPath(new URL("../../target/xtask/python/bin/python", import.meta.url));
const SCRIPT = fileURLToPath(new URL("../apps/client.py", import.meta.url));
const POLLING = { transports: ["polling"] };
const CLIENTS = 12;

const unlessPlain = PLAIN ? describe.skip : describe;

/** A cluster behind round robin, its app servers and clients. */
class PollsWorld extends ClusterWorld {
  stopNats() {
    return this.cluster.brokers[0].stop("SIGKILL");
  }
  startNats() {
    return this.cluster.brokers.again(0);
  }
  relayed() {
    return this.cluster.sum("trunkline_mesh_relayed_requests_total", "served");
  }
}

/** Clients that poll, and what each of them has received. */
async function clientsOf(world, options = {}) {
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      const client = world.open("/", { ...POLLING, ...options });
      Object.assign(client, { heard: [], ends: [] });
      client.on("all", (...what) => client.heard.push(what));
      client.on("disconnect", (reason) => client.ends.push(reason));
      await connected(client);
      return client;
    }),
  );
  return clients;
}

const echoes = (client) => client.timeout(10_000).emitWithAck("echo", client.id);

unlessPlain("two nodes, two app servers", () => {
  let world;
  before(async () => {
    world = await PollsWorld.start({ nodes: 2, servers: ["amber", "cobalt"] });
  });
  after(() => world?.stop());

  test("events, acks, rooms, binary and broadcasts of both app servers arrive once and in order", async () => {
    const clients = await clientsOf(world);
    for (let turn = 0; turn < 5; turn += 1) {
      assert.deepEqual(
        await Promise.all(clients.map(echoes)),
        clients.map((client) => client.id),
      );
    }
    const blob = randomBytes(50_000);
    const answers = await Promise.all(clients.map((client) => client.timeout(10_000).emitWithAck("echo", { blob })));
    for (const answer of answers) assert.deepEqual(answer, { blob });
    await Promise.all(clients.map((client) => client.emitWithAck("join", "club")));
    const say = async ({ io, server }) => {
      for (let number = 0; number < 20; number += 1) {
        io.to("club").emit("all", server, number);
        await new Promise((done) => setTimeout(done, number % 4));
      }
      // Acknowledged by all: everything before it has arrived.
      const question = io.to("club").timeout(10_000);
      return (await question.emitWithAck("all", server, 20)).length;
    };
    for (const client of clients) client.on("all", (...args) => typeof args.at(-1) === "function" && args.pop()(1));
    const counts = await Promise.all(world.apps.map((app) => app.run(say)));
    assert.deepEqual(counts, [CLIENTS, CLIENTS]);
    const all = Array.from({ length: 21 }, (_, number) => number);
    for (const client of clients) {
      for (const server of ["amber", "cobalt"]) {
        assert.deepEqual(
          client.heard.filter(([from]) => from === server).map(([, number]) => number),
          all,
        );
      }
      assert.deepEqual(client.ends, []);
    }
    for (const client of clients) client.disconnect();
  });

  test("a post as long as the app allows arrives, and a longer one ends the session as in Engine.IO", async () => {
    const [node, other] = world.nodes;
    const session = await PollingSession.open(node.port, { join: true });
    const there = (method, options) => request(other.port, method, engineUrl({ sid: session.sid }), options);
    assert.match((await there("GET")).body, /^40\{"sid"/);
    const text = "x".repeat(900_000);
    const post = await there("POST", { body: `420["echo","${text}"]` });
    assert.deepEqual([post.status, post.body], [200, "ok"]);
    assert.equal((await there("GET")).body, `430["${text}"]`);
    const refused = await there("POST", { body: "4".repeat(1_000_001) });
    assert.equal(refused.status, 413);
    await until("the end", async () => (await there("GET")).status === 400);
  });

  test("two polls at two nodes overlap as two at one node", async () => {
    const [node, other] = world.nodes;
    const session = await PollingSession.open(node.port, { join: true });
    await session.collect(1);
    const ask = () => request(other.port, "GET", engineUrl({ sid: session.sid }), {});
    // As at one node, whichever comes second is refused, and the other one learns that this is the end.
    const both = await Promise.all([session.get(), ask()]);
    assert.deepEqual(both.map(({ status }) => status).toSorted(), [200, 400]);
    assert.equal(both.find(({ status }) => status === 200).body, "1");
    assert.equal((await session.get()).status, 400);
  });

  test("a sid that no node has is unknown at once", async () => {
    const sid = Buffer.alloc(21, 7).toString("base64url");
    for (const unknown of [sid, "made-up"]) {
      const answer = await request(world.nodes[0].port, "GET", engineUrl({ sid: unknown }), {});
      assert.deepEqual([answer.status, JSON.parse(answer.body).code], [400, 1]);
    }
  });

  test("a client that goes away ends its session, whichever node it was at", async () => {
    const [node, other] = world.nodes;
    const session = await PollingSession.open(node.port, { join: true });
    const joined = (await session.collect(1))[0];
    const id = JSON.parse(joined.slice(2)).sid;
    const stream = new RawStream(other.port);
    const before = await world.relayed();
    stream.write(`GET ${engineUrl({ sid: session.sid })} HTTP/1.1\r\nhost: x\r\n\r\n`);
    await until("the held poll", async () => (await world.relayed()) > before);
    stream.socket.destroy();
    const left = await Promise.any(world.apps.map((app) => app.noted("disconnect", (note) => note.id === id)));
    assert.equal(left.reason, "transport error");
  });

  test("python-socketio polls through round robin", async () => {
    const child = spawn(PYTHON, [SCRIPT, world.url, "polling"], { stdio: ["ignore", "pipe", "pipe"] });
    try {
      const log = new Log("python", child);
      const json = (number) => {
        if (child.exitCode) throw new Error(`it ended with ${child.exitCode}\n${log.text}`);
        return log.lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line))[number];
      };
      const { ready: id } = await until("the Python client", () => json(0));
      const home = (
        await Promise.all(
          world.apps.map(async (app) => (await app.run(({ io }, id) => io.sockets.sockets.has(id), id)) && app),
        )
      ).find(Boolean);
      const ask = ({ io }, id) => io.sockets.sockets.get(id).timeout(10_000).emitWithAck("question", 21);
      assert.deepEqual(await home.run(ask, id), { twice: 42 });
      await home.run(async ({ io }, id) => {
        io.to("club").emit("club", "hello club");
        await io
          .to("club")
          .timeout(10_000)
          .emitWithAck("bytes", { bytes: Buffer.from([0, 1, 255]) });
        await io.sockets.sockets.get(id).timeout(10_000).emitWithAck("question", 1);
        io.sockets.sockets.get(id).disconnect();
      }, id);
      const seen = await until("what it saw", () => json(1));
      assert.deepEqual([seen.binary, seen.joined, seen.club], [true, true, "hello club"]);
      assert.deepEqual(seen.echo, ["ünïcödé 🚂", [1, { two: null }]]);
    } finally {
      child.kill("SIGKILL");
    }
  });
});

unlessPlain("two nodes, and an app with everything that requests may need", () => {
  const ORIGIN = "https://app.example";
  let world;
  let other;
  before(async () => {
    const options = { allowEIO3: true, cors: { origin: ORIGIN, credentials: true }, cookie: true };
    world = await PollsWorld.start({ nodes: 2, servers: ["amber"], options, trunkline: { everyRequest: true } });
    other = world.nodes[1];
    await world.app("amber").run(({ io }) => {
      io.engine.use((request, response, next) => {
        response.setHeader("x-seen", `${request.method} ${Boolean(request._query?.sid)}`);
        next();
      });
      io.engine.on("headers", (headers) => (headers["x-every"] = "1"));
      let made = 0;
      io.engine.generateId = () => `id-${process.pid}-${++made}`;
    });
  });
  after(() => world?.stop());

  /** A session of the first node, and requests for it at the other one. */
  async function session(query = {}) {
    const opened = await PollingSession.open(world.nodes[0].port, { query });
    const there = (method, options) => request(other.port, method, engineUrl({ ...query, sid: opened.sid }), options);
    return { opened, there };
  }

  test("headers are those of the app: CORS, middlewares, events; ids are the app's own", async () => {
    const { opened, there } = await session();
    assert.match(opened.sid, /^id-\d+-\d+$/);
    const posted = await there("POST", { body: "40", headers: { origin: ORIGIN } });
    assert.deepEqual([posted.status, posted.body], [200, "ok"]);
    assert.equal(posted.headers["access-control-allow-origin"], ORIGIN);
    assert.equal(posted.headers["x-seen"], "POST true");
    const polled = await there("GET", { headers: { origin: ORIGIN } });
    assert.match(polled.body, /^40\{/);
    assert.equal(polled.headers["access-control-allow-origin"], ORIGIN);
    assert.equal(polled.headers["x-seen"], "GET true");
    assert.equal(polled.headers["x-every"], opened.response.headers["x-every"]);
    const preflight = await there("OPTIONS", {
      headers: { origin: ORIGIN, "access-control-request-method": "POST" },
    });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers["access-control-allow-origin"], ORIGIN);
  });

  test("a long answer is compressed by the node that gives it", async () => {
    const { there } = await session();
    await there("POST", { body: "40" });
    assert.match((await there("GET")).body, /^40\{/);
    await there("POST", { body: `420["echo","${"x".repeat(5_000)}"]` });
    const answer = await there("GET", { headers: { "accept-encoding": "gzip" } });
    assert.equal(answer.headers["content-encoding"], "gzip");
  });

  test("clients of revision 3, with payloads of their own, bytes and scripts", async () => {
    const { port } = world.nodes[0];
    const opened = await request(port, "GET", engineUrl({ EIO: "3" }), {});
    const { sid } = JSON.parse(/\{.*?\}/.exec(opened.body)[0]);
    const there = (method, body) => request(other.port, method, engineUrl({ EIO: "3", sid }), { body });
    assert.equal((await there("POST", "1:2")).body, "ok", "it pings");
    assert.match((await there("GET")).body, /1:3/);
    assert.equal((await there("POST", "1:1")).body, "ok", "it closes");
    await until("the end", async () => (await there("GET")).status === 400);

    const query = { EIO: "3", j: "5", b64: "1" };
    const script = await request(port, "GET", engineUrl(query), {});
    assert.match(script.body, /^___eio\[5\]\(/);
    const id = /sid\\":\\"(.*?)\\"/.exec(script.body)[1];
    const form = { body: "d=1%3A2", headers: { "content-type": "application/x-www-form-urlencoded" } };
    assert.equal((await request(other.port, "POST", engineUrl({ ...query, sid: id }), form)).body, "ok");
    const answer = await request(other.port, "GET", engineUrl({ ...query, sid: id }), {});
    assert.match(answer.body, /^___eio\[5\]\(".*1:3/);
  });
});

unlessPlain("three nodes, and one of them or NATS goes", () => {
  let world;
  let clients;
  before(async () => {
    world = await PollsWorld.start({ nodes: 3, servers: ["amber", "cobalt"] });
    clients = await clientsOf(world, { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 200 });
  });
  after(() => world?.stop());

  /** Every client is connected, or connects again, and its messages are answered. */
  async function allAnswer() {
    await until("everybody's echo", async () => {
      const answered = clients.map((client) => client.timeout(2_000).emitWithAck("echo", 1));
      return (await Promise.allSettled(answered)).every(({ status }) => status === "fulfilled");
    });
  }

  test("NATS goes for a moment: nobody loses the connection", async () => {
    await allAnswer();
    await world.stopNats();
    const under = clients.map(echoes);
    await new Promise((done) => setTimeout(done, 500));
    await world.startNats();
    const ids = clients.map((client) => client.id);
    assert.deepEqual(await Promise.all(under), ids);
    for (const client of clients) assert.deepEqual(client.ends, []);
  });

  test("NATS is away for longer: an owner that cannot be reached is a 503 within three seconds", async () => {
    const session = await PollingSession.open(world.nodes[0].port);
    await world.stopNats();
    const answer = await request(world.nodes[1].port, "GET", engineUrl({ sid: session.sid }), {});
    assert.deepEqual([answer.status, JSON.parse(answer.body).error], [503, "mesh_down"]);
    assert.equal(answer.headers["retry-after"], "1");
    await world.startNats();
    await allAnswer();
  });

  test("a node hangs and wakes: everybody is back", async () => {
    world.nodes[1].child.kill("SIGSTOP");
    await until("the loss", async () => {
      const others = [world.nodes[0], world.nodes[2]];
      return (await Promise.all(others.map(clusterOf))).every(({ members }) => members.length === 1);
    });
    world.nodes[1].child.kill("SIGCONT");
    await allAnswer();
  });

  test("a node dies: its clients come back to the others, and nobody is told nonsense", async () => {
    const dead = world.nodes.pop();
    const session = await PollingSession.open(dead.port);
    const held = request(world.nodes[0].port, "GET", engineUrl({ sid: session.sid }), {});
    dead.child.kill("SIGKILL");
    const answer = await held;
    assert.ok([200, 400, 503].includes(answer.status), `${answer.status}`);
    await until("its sessions are unknown", async () => {
      const later = await request(world.nodes[0].port, "GET", engineUrl({ sid: session.sid }), {});
      return later.status === 400;
    });
    await allAnswer();
  });
});
