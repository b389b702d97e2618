// A port of its own for app servers: what is served where, and what the other port says.
import assert from "node:assert/strict";
import { request } from "node:http";
import { withWorld } from "../harness/test.mjs";

const KEY = "trunkline-development-key-do-not-use-in-production";
const settings = { servers: [], args: ["--trunk-listen", "127.0.0.1:0"], trunklineOnly: true };

/** The status and the error of a request. */
async function ask(url, options) {
  const answer = await fetch(url, options);
  const text = await answer.text();
  const { error, message } = text.startsWith("{") ? JSON.parse(text) : {};
  return { status: answer.status, error, message };
}

/** The status of a request for a WebSocket. */
const upgrade = (url, headers = {}) =>
  new Promise((done, fail) => {
    const asked = request(url, {
      headers: {
        connection: "upgrade",
        upgrade: "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        ...headers,
      },
    });
    asked.on("upgrade", (answer, socket) => {
      socket.destroy();
      done(answer.statusCode);
    });
    asked.on("response", (answer) => done(answer.resume().statusCode));
    asked.on("error", fail);
    asked.end();
  });

withWorld(
  "with a port for app servers, each port serves its own and names the other's key",
  settings,
  async (world) => {
    const { trunk_listen: trunks, listen } = world.node.ready;
    assert.notEqual(trunks, listen);
    const [clientUrl, trunkUrl] = [`http://${listen}`, `http://${trunks}`];
    const app = await world.startApp({ name: "amber", trunkline: { endpoint: trunkUrl } });
    const client = await world.client("/", { transports: ["polling", "websocket"] });
    assert.equal(await client.emitWithAck("server"), "amber");

    for (const path of ["/trunk/v1", "/api/health", "/api/hubs/default/:send?api-version=2024-01-01"]) {
      const there = await ask(clientUrl + path);
      assert.deepEqual([there.status, there.error], [404, "wrong_port"], path);
      assert.match(there.message, /`trunk_listen`/);
      assert.doesNotMatch(there.message, new RegExp(trunks.split(":")[1]), "it does not give the address away");
    }
    const authorization = `Bearer ${KEY}`;
    assert.equal(await upgrade(`${clientUrl}/trunk/v1`, { authorization }), 404);
    assert.equal((await ask(`${trunkUrl}/api/health`)).status, 200);
    for (const path of [
      "/socket.io/?EIO=4&transport=polling",
      "/clients/socketio/hubs/default?EIO=4&transport=polling",
    ]) {
      const there = await ask(trunkUrl + path);
      assert.deepEqual([there.status, there.error], [404, "wrong_port"], path);
      assert.match(there.message, /`listen`/);
    }
    // The shortcut for ordinary handshakes has the same rule.
    assert.equal(await upgrade(`${trunkUrl}/socket.io/?EIO=4&transport=websocket`), 404);
    const metrics = await world.node.metrics();
    assert.equal(metrics.get('trunkline_edge_requests_refused_total{cause="wrong_port"}'), 7);
    assert.equal(metrics.get("trunkline_edge_trunk_port_streams") >= 1, true, "the trunk at least");
    await app.stop();
  },
);

const small = { ...settings, args: [...settings.args, "--streams-max", "8"] };
withWorld("clients that fill the public port leave app servers their own", small, async (world) => {
  const url = `http://${world.node.ready.trunk_listen}`;
  await world.startApp({ name: "amber", trunkline: { endpoint: url } });
  const clients = [];
  for (let index = 0; index < 8; index += 1) clients.push(await world.client("/", { transports: ["websocket"] }));
  const full = await ask(`${world.url}/socket.io/?EIO=4&transport=polling`);
  assert.deepEqual([full.status, full.error], [503, "streams_full"]);
  await world.startApp({ name: "cobalt", trunkline: { endpoint: url } });
  assert.equal((await world.node.metrics()).get("trunkline_trunks"), 2);
});
