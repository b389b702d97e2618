// A handshake of a WebSocket gets the same answer whichever way the node takes: without hyper, when it is the first and
// only request of its stream, or with hyper, when another request came before it.
import assert from "node:assert/strict";
import { socketUrl } from "../../testing/engine.mjs";
import { textFrame } from "../../testing/frames.mjs";
import { RawStream } from "../../testing/stream.mjs";
import { until } from "../../testing/wait.mjs";
import { upgradeHead } from "../../testing/websocket.mjs";
import { inWorld } from "../harness/test.mjs";

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const UPGRADE = { "sec-websocket-key": KEY };

/** Path, headers, and the status of the answer. */
const CASES = {
  accepted: [socketUrl(), UPGRADE, 101],
  "with a subprotocol": [socketUrl(), { ...UPGRADE, "sec-websocket-protocol": "one, two" }, 101],
  "with headers of the app": [socketUrl({ mine: "yes" }), UPGRADE, 101],
  "at a hub's path": [socketUrl({}, "/clients/socketio/hubs/default"), UPGRADE, 101],
  "with a wrong token": [socketUrl({ access_token: "x.y" }, "/clients/socketio/hubs/default"), UPGRADE, 401],
  "refused by the app": [socketUrl({ refuse: "yes" }), UPGRADE, 418],
  "with a wrong key": [socketUrl(), { "sec-websocket-key": "short" }, 400],
  "with a wrong version": [socketUrl(), { ...UPGRADE, "sec-websocket-version": "12" }, 400],
  "of revision 3": ["/socket.io/?EIO=3&transport=websocket", UPGRADE, 400],
  "of an unknown transport": ["/socket.io/?EIO=4&transport=pigeon", UPGRADE, 400],
  "of an unknown session": [socketUrl({ sid: "nobody" }), UPGRADE, 400],
  "with a body": [socketUrl(), { ...UPGRADE, "content-length": "0" }, 101],
  "to two hosts": [socketUrl(), { ...UPGRADE, host: ["a", "b"] }, 400],
  "to an unknown hub": [socketUrl({}, "/clients/socketio/hubs/other"), UPGRADE, 404],
};

/** The answer to a handshake; `before` makes the stream answer another request first. */
async function answerTo(port, path, headers, before) {
  const stream = new RawStream(port);
  if (before) assert.equal((await stream.request("GET", "/nowhere")).status, 404);
  const answer = stream.answer();
  stream.write(upgradeHead(path, headers));
  const { headers: got, ...rest } = await answer;
  const { date, ...others } = got;
  assert.ok(Math.abs(Date.parse(date) - Date.now()) < 60_000, date);
  if (rest.status === 101) {
    await until("the open packet", () => /0\{"sid":"[^"]+","upgrades":\[\]/.test(stream.text));
    stream.write(textFrame("40"));
    await until("the socket", () => stream.text.includes('40{"sid":'));
  }
  stream.destroy();
  return { ...rest, headers: others };
}

inWorld("handshakes on both ways", { servers: ["amber"], trunklineOnly: true }, (test) => {
  for (const [name, [path, headers, status]] of Object.entries(CASES)) {
    test(name, async (world) => {
      await world.app("amber").run(({ io }) => {
        if (globalThis.prepared) return;
        globalThis.prepared = true;
        io.engine.use((req, res, next) => {
          if (!req.url.includes("refuse=yes")) return next();
          res.writeHead(418, { "x-why": "a teapot" });
          res.end("no");
        });
        io.engine.on("initial_headers", (headers, req) => {
          if (req.url.includes("mine=yes")) headers["x-mine"] = ["a", "b"];
        });
      });
      const { port } = world.node;
      const direct = await answerTo(port, path, headers, false);
      assert.equal(direct.status, status, JSON.stringify(direct));
      assert.deepEqual(direct, await answerTo(port, path, headers, true));
    });
  }

  test("frames that come with the request are the session's first", async (world) => {
    const stream = new RawStream(world.node.port);
    stream.write(Buffer.concat([Buffer.from(upgradeHead(socketUrl(), UPGRADE)), textFrame("40")]));
    await until("the socket", () => stream.text.includes('40{"sid":'));
    stream.destroy();
  });

  test("a client that leaves before the answer leaves nothing", async (world) => {
    const stream = await RawStream.open(world.node.port);
    const app = world.app("amber");
    await app.run(({ io }) => {
      io.engine.use((req, _res, next) => {
        if (req.url.includes("hold=yes")) globalThis.held = next;
        else next();
      });
    });
    const broken = async () => (await world.node.metrics()).get("trunkline_edge_streams_broken_total") ?? 0;
    const before = await broken();
    stream.write(upgradeHead(socketUrl({ hold: "yes" }), UPGRADE));
    await until("the app is asked", () => app.run(() => globalThis.held !== undefined));
    stream.destroy();
    await until("the end is noticed", async () => (await broken()) === before + 1);
    await app.run(() => globalThis.held());
    await until("nobody is connected", () => app.run(({ io }) => io.engine.clientsCount === 0));
  });
});
