// Tunnels: app servers that connect, leave, break and misbehave; tokens of tunnels and clients.
import assert from "node:assert/strict";
import { next, until } from "../../testing/wait.mjs";
import { handshakeAt, WebSocketClient } from "../../testing/websocket.mjs";
import { startApp } from "../harness/app.mjs";
import { HUB, HUB_PATH, connectionString, inAzureWorld, sign, withAzureWorld } from "../harness/azure.mjs";
import { startNode } from "../harness/node.mjs";

const pathOf = (url) => new URL(url).pathname + new URL(url).search;
const tunnelUrl = (world) => `${world.url.replace("http", "ws")}/server/tunnel?hub=${HUB}`;

/** A tunnel that the test opens itself. */
function openTunnel(world, { sub = "hand-made", claims = {}, key } = {}) {
  const url = tunnelUrl(world);
  const token = sign({ aud: url, sub, ...claims }, key ? { key } : {});
  return new WebSocketClient(world.node.port, pathOf(`${url}&access_token=${token}`));
}

withAzureWorld(
  "two app servers: sessions are spread, rooms are shared",
  { servers: ["amber", "cobalt"] },
  async (world) => {
    const clients = await world.clientPerApp("/", { transports: ["websocket"] });
    const heard = [];
    for (const [name, client] of Object.entries(clients))
      client.on("said", (text) => heard.push(`${name}:${text.text ?? text}`));
    for (const client of Object.values(clients)) await client.emitWithAck("join", "r");
    for (const app of world.apps) {
      heard.length = 0;
      await app.run(({ io }) => {
        io.to("r").emit("said", "x");
      });
      await until("both hear it", () => heard.length === 2);
      const answers = app.run(({ io }) => io.timeout(5000).emitWithAck("who"));
      for (const [name, client] of Object.entries(clients)) client.once("who", (answer) => answer(name));
      assert.deepEqual((await answers).sort(), ["amber", "cobalt"]);
    }
    const gone = next(clients.amber, "disconnect");
    await world.apps[1].run(({ io }, id) => {
      io.in(id).disconnectSockets(true);
    }, clients.amber.id);
    await gone;
    await world.app("amber").noted("disconnect", ({ id }) => id !== undefined);
  },
);

withAzureWorld("both SDKs behind one hub share rooms", {}, async (world) => {
  await startApp({ name: "native", trunkline: { endpoint: [world.node.url] } }).then((app) => world.apps.push(app));
  const clients = await world.clientPerApp("/", { transports: ["websocket"] });
  const heard = [];
  for (const [name, client] of Object.entries(clients)) client.on("hear", (text) => heard.push(`${name}:${text}`));
  for (const client of Object.values(clients)) await client.emitWithAck("join", "r");
  for (const app of world.apps) {
    heard.length = 0;
    await app.run(({ io }) => {
      io.to("r").emit("hear", "room");
      io.emit("hear", "all");
    });
    await until("all hear it", () => heard.length === 4);
    assert.deepEqual([...heard].sort(), ["amber:all", "amber:room", "native:all", "native:room"]);
  }
  assert.equal(await world.app("native").run(({ io }) => io.of("/").adapter.serverCount()), 1);
});

withAzureWorld("an app server that dies: its clients find another", { servers: ["amber", "cobalt"] }, async (world) => {
  const clients = [];
  for (let at = 0; at < 10; at += 1)
    clients.push(await world.client("/", { transports: ["websocket"], reconnection: true, reconnectionDelay: 50 }));
  await world.app("amber").stop("SIGKILL");
  await until("all are with the other", async () => {
    const servers = await Promise.all(clients.map((client) => client.timeout(500).emitWithAck("server")));
    return servers.every((name) => name === "cobalt");
  });
});

withAzureWorld("no app server: handshakes are refused at once, and taken again when one is back", {}, async (world) => {
  await world.apps[0].stop("SIGKILL");
  const poll = () => fetch(`${world.url}${HUB_PATH}/?EIO=4&transport=polling`);
  await until("a refusal", async () => (await poll()).status === 503);
  await world.startAzureApp({ name: "cobalt" });
  const client = await world.client("/", { transports: ["websocket"] });
  assert.equal(await client.emitWithAck("server"), "cobalt");
});

/** Ends the app's tunnel from inside the app; `how` is a method of its WebSocket: `close` or `terminate`. */
const endTunnel = ({ io }, how) => {
  const [tunnel] = io.engine.webPubSubConnectionManager.service._tunnel.clients.values();
  tunnel._client._wsClient._socket[how](...(how === "close" ? [1000] : []));
};

const tunnelsEnded = async (world, cause) =>
  (await world.node.metrics()).get(`trunkline_azure_tunnels_ended_total{cause="${cause}"}`) ?? 0;

withAzureWorld("a tunnel that is closed for a moment costs nothing", {}, async (world) => {
  const clients = [
    await world.client("/", { transports: ["websocket"] }),
    await world.client("/", { transports: ["polling"] }),
  ];
  const before = clients.map(({ id }) => id);
  await world.apps[0].run(endTunnel, "close");
  await until("the end of the tunnel", () => tunnelsEnded(world, "app_server_closed"));
  for (const client of clients) assert.equal(await client.emitWithAck("server"), "amber");
  await until("the next tunnel", async () => (await world.node.metrics()).get("trunkline_azure_tunnels") === 1);
  assert.deepEqual(
    clients.map(({ id }) => id),
    before,
  );
  assert.equal(await world.apps[0].run(({ io }) => io.engine.clientsCount), 2);
});

withAzureWorld("a tunnel that breaks: its clients come back, and the app knows of no others", {}, async (world) => {
  const options = { transports: ["websocket"], reconnection: true, reconnectionDelay: 20 };
  const clients = [];
  for (let at = 0; at < 5; at += 1) clients.push(await world.client("/", options));
  const before = clients.map(({ id }) => id);
  await world.apps[0].run(endTunnel, "terminate");
  await until("all are back", () => clients.every(({ id, connected }, at) => connected && id !== before[at]));
  for (const id of before) await world.apps[0].noted("disconnect", (ended) => ended.id === id);
  for (const client of clients) assert.equal(await client.emitWithAck("server"), "amber");
  assert.equal(await world.apps[0].run(({ io }) => io.engine.clientsCount), 5);
});

withAzureWorld("a node that restarts: app server and clients come back by themselves", {}, async (world) => {
  const client = await world.client("/", {
    transports: ["websocket"],
    reconnection: true,
    reconnectionDelay: 50,
    reconnectionDelayMax: 200,
  });
  const [before, listen] = [client.id, world.node.ready.listen];
  await world.node.stop();
  world.nodes[0] = await startNode({ listen });
  await until("the client is back", () => client.connected && client.id !== before);
  assert.equal(await client.emitWithAck("server"), "amber");
  await world.apps[0].noted("disconnect", ({ id }) => id === before);
});

withAzureWorld("claims of a token reach an app with our own SDK, too", {}, async (world) => {
  await world.apps[0].stop();
  const app = await startApp({ name: "native", trunkline: { connectionString: connectionString(world.node) } });
  world.apps.push(app);
  const token = sign({ aud: `${world.url}${HUB_PATH}`, sub: "ada", role: ["x"] });
  const connect = () => world.client("/", { transports: ["websocket"], query: { access_token: token } });
  // While the node still waits for the lost app server, the other one gets the new clients.
  const client = await until("the other app server", connect, { withinMs: 5_000 });
  const claims = await app.run(({ io }, id) => io.sockets.sockets.get(id).request.claims, client.id);
  assert.deepEqual([JSON.parse(claims).sub, JSON.parse(claims).role], ["ada", ["x"]]);
});

inAzureWorld("what tunnels refuse", {}, (test) => {
  test("tokens: none, expired, for another place, of another key, unsigned", async (world) => {
    const url = tunnelUrl(world);
    const past = Math.floor(Date.now() / 1000) - 301;
    const cases = {
      token_missing: url,
      token_expired: `${url}&access_token=${sign({ aud: url, exp: past })}`,
      token_audience: `${url}&access_token=${sign({ aud: url.replace("hub=default", "hub=other") })}`,
      token_signature: `${url}&access_token=${sign({ aud: url }, { key: "another key of at least 32 bytes, really" })}`,
      token_malformed: `${url}&access_token=${sign({ aud: url }, { alg: "none" })}`,
    };
    for (const [error, address] of Object.entries(cases)) {
      const { status, body } = await handshakeAt(address);
      assert.deepEqual([status, JSON.parse(body).error], [401, error], body);
      const metrics = await world.node.metrics();
      assert.ok(metrics.get(`trunkline_azure_tunnels_refused_total{cause="${error}"}`) >= 1, error);
    }
    // In development a hub is created by its name, and this is no valid name.
    const unknown = url.replace("hub=default", "hub=2nobody");
    assert.deepEqual((await handshakeAt(unknown)).status, 404);
    assert.equal((await fetch(url.replace("ws", "http"))).status, 400);
  });

  test("frames that cannot be read end the tunnel, are counted, and harm nobody", async (world) => {
    const client = await world.client("/", { transports: ["websocket"] });
    const frames = {
      truncated: Buffer.from([1, 0]),
      length: Buffer.from([9, 0, 0, 0, 0x93]),
      shape: Buffer.from([1, 0, 0, 0, 0xc0]),
      type_unknown: Buffer.from([6, 0, 0, 0, 0x93, 4, 0xa2, 0x7b, 0x7d, 0xc0]),
      json: Buffer.from([6, 0, 0, 0, 0x93, 1, 0xa2, 0x7b, 0x7d, 0xc0]),
      text: "hello",
    };
    for (const [rule, frame] of Object.entries(frames)) {
      const tunnel = openTunnel(world, { sub: `bad-${rule}` });
      const [first] = await until("the first message", () => tunnel.messages.length > 0 && tunnel.messages);
      assert.ok(String(first.payload).includes('"ConnectionId"'), "the first message says that it is connected");
      if (typeof frame === "string") tunnel.text(frame);
      else tunnel.binary(frame);
      assert.equal(await tunnel.closedWith(), 1008, rule);
      tunnel.destroy();
      const metrics = await world.node.metrics();
      assert.ok(metrics.get(`trunkline_azure_tunnel_frames_malformed_total{cause="${rule}"}`) >= 1, rule);
    }
    assert.equal(await client.emitWithAck("server"), "amber");
  });
});

inAzureWorld("clients' tokens", {}, (test) => {
  const poll = (world, access_token) =>
    fetch(`${world.url}${HUB_PATH}/?EIO=4&transport=polling&access_token=${access_token}`);

  test("expired, for another hub, of another key, unsigned: 401 with the reason, counted", async (world) => {
    const aud = `${world.url}${HUB_PATH}`;
    const cases = {
      token_expired: sign({ aud, exp: Math.floor(Date.now() / 1000) - 301 }),
      token_audience: sign({ aud: `${world.url}/clients/socketio/hubs/other` }),
      token_signature: sign({ aud }, { key: "another key of at least 32 bytes, really" }),
      token_malformed: sign({ aud }, { alg: "none" }),
    };
    for (const [error, token] of Object.entries(cases)) {
      const answer = await poll(world, token);
      assert.deepEqual([answer.status, (await answer.json()).error], [401, error]);
      const metrics = await world.node.metrics();
      assert.ok(metrics.get(`trunkline_client_tokens_refused_total{cause="${error}"}`) >= 1, error);
    }
    assert.equal((await poll(world, sign({ aud }))).status, 200);
  });

  test("EIO=3 is refused by the node", async (world) => {
    const answer = await fetch(`${world.url}${HUB_PATH}/?EIO=3&transport=polling`);
    assert.equal(answer.status, 400);
    assert.deepEqual(await answer.json(), { code: 5, message: "Unsupported protocol version" });
  });

  test("pages of every origin may talk to the hub", async (world) => {
    const url = `${world.url}${HUB_PATH}/?EIO=4&transport=polling`;
    const preflight = await fetch(url, {
      method: "OPTIONS",
      headers: {
        origin: "https://app.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-own",
      },
    });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers.get("access-control-allow-origin"), "https://app.example");
    assert.equal(preflight.headers.get("access-control-allow-headers"), "x-own");
    const answer = await fetch(url, { headers: { origin: "https://app.example" } });
    assert.equal(answer.headers.get("access-control-allow-origin"), "https://app.example");
    assert.equal(answer.headers.get("access-control-allow-credentials"), "true");
    const unknown = await fetch(`${url}&sid=nobody`, { headers: { origin: "https://app.example" } });
    assert.deepEqual([unknown.status, await unknown.json()], [400, { code: 1, message: "Session ID unknown" }]);
    assert.equal(unknown.headers.get("access-control-allow-origin"), "https://app.example");
  });
});

withAzureWorld(
  "a hub that demands tokens takes no client without one, at any path",
  { args: ["--client-tokens", "required"] },
  async (world) => {
    for (const path of [`${HUB_PATH}/`, "/socket.io/"]) {
      const answer = await fetch(`${world.url}${path}?EIO=4&transport=polling`);
      assert.deepEqual([answer.status, (await answer.json()).error], [401, "token_missing"]);
      const token = sign({ aud: `${world.url}${HUB_PATH}` });
      assert.equal((await fetch(`${world.url}${path}?EIO=4&transport=polling&access_token=${token}`)).status, 200);
    }
  },
);
