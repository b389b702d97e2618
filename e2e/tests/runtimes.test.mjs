// Other runtimes for the app than Node.js: Bun and Deno, from their npm packages. The same app in each gives the same
// output.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { io as connect } from "socket.io-client";
import { until } from "../../testing/wait.mjs";
import { Log } from "../harness/log.mjs";
import { startNode } from "../harness/node.mjs";
import { PLAIN, TRANSPORTS, connected } from "../harness/world.mjs";

const bin = (name) => fileURLToPath(new URL(`../node_modules/.bin/${name}`, import.meta.url));
const APP = fileURLToPath(new URL("../apps/runtime.mjs", import.meta.url));
const COMMANDS = {
  node: [process.execPath, APP],
  bun: [bin("bun"), APP],
  // Everything is installed; nothing may be downloaded.
  deno: [bin("deno"), "run", "--allow-all", "--no-remote", "--node-modules-dir=manual", APP],
};
const REFUSED = { code: 4, message: "not here" };

class App {
  constructor(runtime, settings) {
    const [command, ...args] = COMMANDS[runtime];
    this.child = spawn(command, args, { stdio: "pipe", env: { ...process.env, E2E: JSON.stringify(settings) } });
    this.log = new Log(runtime, this.child);
    this.ended = once(this.child, "exit");
  }
  get words() {
    return this.log.lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  }
  /** The first output of this kind with these fields; waits for it. */
  said(kind, fields = {}) {
    const fits = (word) => word.kind === kind && Object.entries(fields).every(([name, value]) => word[name] === value);
    return until(`"${kind}" ${JSON.stringify(fields)} of the app`, () => {
      if (this.child.exitCode !== null) throw new Error(`it ended with ${this.child.exitCode}\n${this.log.text}`);
      return this.words.find(fits);
    });
  }
  /** Ends as an app does that has closed its server: by itself. */
  async end() {
    this.child.stdin.end();
    const [code] = await this.ended;
    assert.equal(code, 0, this.log.text);
    assert.equal(this.words.at(-1).kind, "closed");
  }
  async stop() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill("SIGKILL");
    await this.ended;
  }
}

if (!PLAIN) {
  describe("an app in another runtime", () => {
    let node;
    before(async () => {
      node = await startNode();
    });
    after(() => node?.stop());

    const start = async (t, runtime, settings) => {
      const app = new App(runtime, { endpoint: node.url, options: {}, ...settings });
      const clients = [];
      t.after(async () => {
        for (const client of clients) client.disconnect();
        await app.stop();
      });
      const { port } = await app.said("ready");
      const open = (url, options) => {
        const client = connect(url, { reconnection: false, forceNew: true, ...options });
        clients.push(client);
        return client;
      };
      return { app, open, own: `http://127.0.0.1:${port}` };
    };

    for (const [runtime, door] of [
      ["node", "http"],
      ["bun", "http"],
      ["bun", "bun"],
      ["deno", "http"],
    ]) {
      const name = `${runtime}${door === "bun" ? " with its own HTTP server" : ""}`;

      test(`${name}: clients by both doors, in the same rooms`, async (t) => {
        const { app, open, own } = await start(t, runtime, { door, options: { connectionStateRecovery: {} } });
        const seats = [];
        for (const url of [node.url, own]) {
          for (const [way, transports] of Object.entries(TRANSPORTS)) {
            const client = open(url, { ...transports, query: { q: 'a "b"' }, extraHeaders: { "x-test": "h" } });
            const heard = once(client, "heard");
            client.on("who", (done) => done(client.id));
            await connected(client);
            const word = await app.said("connection", { id: client.id });
            assert.deepEqual([word.query, word.header], ['a "b"', "h"]);
            // Bun's engine does not know the address.
            if (url === node.url || door === "http") assert.equal(word.address, "127.0.0.1");
            if (way === "upgrade") await app.said("upgrade", { id: client.id });
            seats.push({ client, heard, id: client.id });
          }
        }
        const ids = seats.map(({ id }) => id).sort();
        await app.said("engine", { count: ids.length });
        const [{ client: first }] = seats;
        assert.deepEqual(await first.emitWithAck("echo", { bytes: Buffer.from([0, 1]) }), {
          bytes: Buffer.from([0, 1]),
        });
        assert.deepEqual(await new Promise((done) => first.emit("all", (...lists) => done(lists))), [ids, ids]);
        for (const { heard } of seats) assert.deepEqual((await heard)[0], Buffer.from([1, 2, 255]));
        for (const { client, id } of seats) {
          const other = client.io.socket("/room-1");
          assert.equal((await once(other, "welcome"))[0], "/room-1");
          other.disconnect();
          const gone = once(client, "disconnect");
          client.emit("leave");
          assert.equal((await gone)[0], "io server disconnect");
          assert.equal((await app.said("disconnect", { id })).reason, "server namespace disconnect");
        }
        assert.deepEqual(
          app.words.filter(({ kind }) => kind === "warning"),
          [],
        );
        await app.end();
      });

      test(`${name}: who is refused, and a closed door of its own`, async (t) => {
        const { app, open, own } = await start(t, runtime, { door, direct: false });
        const refused = await fetch(`${node.url}/socket.io/?EIO=4&transport=polling`, { headers: { "x-test": "bad" } });
        assert.deepEqual([refused.status, await refused.json()], [403, REFUSED]);
        const closed = await fetch(`${own}/socket.io/?EIO=4&transport=polling`);
        assert.equal(closed.status, 403);
        assert.match((await closed.json()).message, /served by Trunkline at http/);
        const client = open(node.url, { auth: { token: "bad" } });
        assert.equal((await once(client, "connect_error"))[0].message, "not you");
        client.disconnect();
        await app.end();
      });
    }
  });
}
