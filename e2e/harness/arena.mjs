// A node with one shard, unless a test wants more, and two hubs: in one hub a test attacks; a well-behaved neighbour in
// the other must not notice.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { BareAppServer } from "../../testing/app_server.mjs";
import { EngineSocket, PollingSession, socketUrl } from "../../testing/engine.mjs";
import { DEVELOPMENT_KEY } from "../../testing/token.mjs";
import { CloseReason } from "../../testing/trunk_batch.mjs";
import { until } from "../../testing/wait.mjs";
import { startNode } from "./node.mjs";
import { PLAIN } from "./world.mjs";

export { CloseReason };
const CALM_PATH = "/clients/socketio/hubs/calm/";
const HUBS = `[hub.default]\ndefault = true\nkeys = ["${DEVELOPMENT_KEY}"]\n\n[hub.calm]\nkeys = ["${DEVELOPMENT_KEY}"]\n`;
/** How long an echo may take before the neighbour counts as starved: far longer than a busy machine needs. */
const STARVED_MS = 5_000;
/** The neighbour's heartbeat interval; tests measure waiting times in it. */
export const PING_MS = 300;
export const MB = 1_000_000;
/** How much memory a hostile peer may add: generous, but far below what the tests offer. */
export const GROWTH_BYTES_MAX = 80 * MB;

/** One test in an arena of its own. The neighbour must be served the whole time. */
export function inArena(name, { args = [], calm = true, threads = 1 }, check) {
  if (PLAIN) return;
  test(name, async () => {
    const arena = new Arena();
    try {
      await arena.start(args, calm, threads);
      await check(arena);
      await arena.neighbour?.stop();
    } catch (error) {
      error.stack += `\n--- what the node said ---\n${arena.node?.log.text.split("\n").slice(-40).join("\n")}\n---`;
      throw error;
    } finally {
      await arena.stop();
    }
  });
}

class Arena {
  #folder = mkdtempSync(join(tmpdir(), "trunkline-arena-"));
  #apps = [];
  #clients = [];

  async start(args, calm, threads) {
    const config = join(this.#folder, "trunkline.toml");
    writeFileSync(config, HUBS);
    this.node = await startNode({ threads, args: ["--config", config, ...args] });
    if (!calm) return;
    this.calm = await BareAppServer.connect(this.node, {
      hub: "calm",
      echoes: true,
      refuses: true,
      settings: { pingInterval: PING_MS },
    });
    this.#apps.push(this.calm);
    this.neighbour = new Neighbour(await this.client({ path: CALM_PATH }));
  }

  /** A fake app server in the hub under attack. `through`: the port of a proxy to the node. */
  async app(options) {
    const app = await BareAppServer.connect({ port: options?.through ?? this.node.port }, options);
    this.#apps.push(app);
    return app;
  }

  /** An open WebSocket: a session of its own, or with `sid` a probe. */
  async client({ path = "/socket.io/", sid, ...options } = {}) {
    const client = this.stream(socketUrl({ sid }, path), options);
    if (sid) await client.open();
    else client.sid = (await client.opened()).sid;
    return client;
  }
  stream(path, options) {
    const client = new EngineSocket(this.node.port, path, options);
    this.#clients.push(client);
    return client;
  }
  /** A client and its number at the app server. */
  async session(app, options) {
    const before = app.opens.length;
    const client = await this.client(options);
    return { client, session: app.opens[before].session };
  }
  /** A client over long-polling, its `sid`, and its number at the app server. */
  async polling(app) {
    const before = app.opens.length;
    const polling = await PollingSession.open(this.node.port);
    return { polling, sid: polling.sid, session: app.opens[before].session };
  }

  /** Waits until the neighbour has been served `count` more times: by then the node has done its earlier work. */
  async rounds(count) {
    const enough = this.neighbour.rounds + count;
    await until(`${count} rounds of the neighbour`, () => this.neighbour.failed || this.neighbour.rounds >= enough);
    assert.ifError(this.neighbour.failed);
  }

  /** Waits until the neighbour has had `count` pings. */
  async heartbeats(count) {
    const enough = this.neighbour.client.pings + count;
    await until(
      `${count} pings of the neighbour`,
      () => this.neighbour.failed || this.neighbour.client.pings >= enough,
    );
    assert.ifError(this.neighbour.failed);
  }

  /** Writes `chunk` repeatedly, until `bytesMax` bytes are written, the stream ends, or the node reads no more. */
  async pour(client, chunk, bytesMax) {
    let poured = 0;
    while (poured < bytesMax && !client.ended) {
      const written = new Promise((done) => client.socket.write(chunk, () => done("written")));
      if ((await Promise.race([written, this.rounds(40), client.end])) !== "written") break;
      poured += chunk.length;
    }
    return poured;
  }

  /** Stops the node's process during `act`; then the node sees everything at once. */
  async atOnce(act) {
    this.node.child.kill("SIGSTOP");
    await until("the node's halt", () =>
      /^State:\s+T/m.test(readFileSync(`/proc/${this.node.child.pid}/status`, "utf8")),
    );
    try {
      await act();
    } finally {
      this.node.child.kill("SIGCONT");
    }
  }

  /** The sum of the metric samples that match. */
  async count(pattern) {
    let sum = 0;
    for (const [name, value] of await this.node.metrics()) if (pattern.test(name)) sum += value;
    return sum;
  }
  /** Waits until that sum is `expected`, or until `expected` returns true for it when it is a function. */
  async counted(pattern, expected) {
    const fits = typeof expected === "function" ? expected : (count) => count === expected;
    await until(`${expected} of ${pattern}`, async () => fits(await this.count(pattern)));
  }

  /** Bytes of memory in use now. */
  get residentBytes() {
    return Number(readFileSync(`/proc/${this.node.child.pid}/statm`, "utf8").split(" ")[1]) * 4096;
  }
  /** Resets the memory peak; returns a function that gives the largest growth since. */
  watchMemory() {
    const of = (file) => `/proc/${this.node.child.pid}/${file}`;
    writeFileSync(of("clear_refs"), "5");
    const before = this.residentBytes;
    return () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(of("status"), "utf8"))[1]) * 1024 - before;
  }

  async stop() {
    this.neighbour?.end();
    for (const client of this.#clients) client.destroy();
    for (const app of this.#apps) app.kill();
    await this.node?.stop("SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Sends, waits for the echo, and repeats. */
class Neighbour {
  rounds = 0;
  failed = undefined;
  #over = false;

  constructor(client) {
    this.client = client;
    this.looping = this.#loop().catch((error) => (this.failed = error));
  }

  async #loop() {
    for (; !this.#over; this.rounds += 1) {
      const text = `4round ${this.rounds}`;
      this.client.text(text);
      await until("an echo for the neighbour", () => this.client.texts.pop() === text, {
        withinMs: STARVED_MS,
        everyMs: 4,
      });
    }
  }

  end() {
    this.#over = true;
  }
  async stop() {
    this.end();
    await this.looping;
    assert.ifError(this.failed);
    assert.ok(this.rounds > 0, "the neighbour was served");
  }
}
