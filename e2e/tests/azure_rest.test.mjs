// The REST API: every method of Microsoft's WebPubSubServiceClient that makes sense for Socket.IO.
import assert from "node:assert/strict";
import { requestHead } from "../../testing/http.mjs";
import { RawStream } from "../../testing/stream.mjs";
import { next, until } from "../../testing/wait.mjs";
import { inAzureWorld, withAzureWorld, HUB, HUB_PATH, KEY, sign } from "../harness/azure.mjs";
import { connected } from "../harness/world.mjs";

const TEXT = { contentType: "text/plain" };
const packet = (...data) => `42${JSON.stringify(data)}`;
const group = (room, namespace = "/") =>
  `0~${Buffer.from(namespace).toString("base64url")}~${Buffer.from(room).toString("base64url")}`;

/** Two clients, of users ann and bob, and what they receive. */
async function two(world) {
  const heard = [];
  const clients = {};
  for (const name of ["ann", "bob"]) {
    const aud = `${world.url}${HUB_PATH}`;
    const client = await world.client("/", {
      transports: ["websocket"],
      query: { access_token: sign({ aud, sub: name }) },
    });
    client.on("news", (what) => heard.push(`${name}:${what}`));
    clients[name] = client;
  }
  const end = async () => {
    heard.length = 0;
    await world.rest().sendToAll(packet("news", "end"), TEXT);
    await until("the end", () => heard.filter((line) => line.endsWith("end")).length === 2);
  };
  return { ...clients, heard, annId: clients.ann.io.engine.id, bobId: clients.bob.io.engine.id, end };
}

/** The messages received before a mark that every client receives. */
async function heardBefore(world, heard, act, ears = 2) {
  heard.length = 0;
  await act();
  await world.rest().sendToAll(packet("news", "end"), TEXT);
  await until("the mark", () => heard.filter((line) => line.endsWith(":end")).length === ears);
  return heard.filter((line) => !line.endsWith(":end")).sort();
}

inAzureWorld("Azure's REST client", {}, (test) => {
  test("sendToAll, with exceptions and filters", async (world) => {
    const { heard, annId } = await two(world);
    const rest = world.rest();
    const cases = [
      [{}, ["ann:x", "bob:x"]],
      [{ excludedConnections: [annId] }, ["bob:x"]],
      [{ filter: "userId eq 'ann'" }, ["ann:x"]],
      [{ filter: "userId ne 'ann'" }, ["bob:x"]],
      [{ filter: `startswith(userId, 'b') or connectionId eq '${annId}'` }, ["ann:x", "bob:x"]],
      [{ filter: "'nobody' in groups" }, []],
    ];
    for (const [options, expected] of cases) {
      const got = await heardBefore(world, heard, () => rest.sendToAll(packet("news", "x"), { ...TEXT, ...options }));
      assert.deepEqual(got, expected, JSON.stringify(options));
    }
  });

  test("sendToConnection, sendToUser", async (world) => {
    const { heard, annId } = await two(world);
    const rest = world.rest();
    assert.deepEqual(await heardBefore(world, heard, () => rest.sendToConnection(annId, packet("news", 1), TEXT)), [
      "ann:1",
    ]);
    assert.deepEqual(await heardBefore(world, heard, () => rest.sendToUser("bob", packet("news", 2), TEXT)), ["bob:2"]);
    assert.deepEqual(await heardBefore(world, heard, () => rest.sendToUser("nobody", packet("news", 3), TEXT)), []);
    assert.deepEqual(
      await heardBefore(world, heard, () => rest.sendToConnection("nobody", packet("news", 4), TEXT)),
      [],
    );
  });

  test("connectionExists, userExists, groupExists", async (world) => {
    const { annId } = await two(world);
    const rest = world.rest();
    assert.deepEqual([await rest.connectionExists(annId), await rest.connectionExists("nobody")], [true, false]);
    assert.deepEqual([await rest.userExists("ann"), await rest.userExists("nobody")], [true, false]);
    assert.deepEqual([await rest.groupExists(group("")), await rest.groupExists("nobody's")], [true, false]);
  });

  test("group: addConnection, removeConnection, sendToAll, listConnections", async (world) => {
    const { heard, annId, bobId } = await two(world);
    const vip = world.rest().group("vip");
    await vip.addConnection(annId);
    await vip.addConnection(bobId);
    assert.deepEqual(await heardBefore(world, heard, () => vip.sendToAll(packet("news", 1), TEXT)), ["ann:1", "bob:1"]);
    assert.deepEqual(
      await heardBefore(world, heard, () =>
        vip.sendToAll(packet("news", 2), { ...TEXT, excludedConnections: [annId] }),
      ),
      ["bob:2"],
    );
    assert.deepEqual(
      await heardBefore(world, heard, () => vip.sendToAll(packet("news", 3), { ...TEXT, filter: "userId eq 'ann'" })),
      ["ann:3"],
    );
    const members = [];
    const list = await vip.listConnections({ maxPageSize: 1 });
    for await (const page of list.byPage()) members.push(page);
    assert.equal(members.length, 2, "one on each page");
    assert.deepEqual(
      members
        .flat()
        .map(({ userId }) => userId)
        .sort(),
      ["ann", "bob"],
    );
    assert.deepEqual(
      members
        .flat()
        .map(({ connectionId }) => connectionId)
        .sort(),
      [annId, bobId].sort(),
    );
    await vip.removeConnection(annId);
    assert.deepEqual(await heardBefore(world, heard, () => vip.sendToAll(packet("news", 4), TEXT)), ["bob:4"]);
    await assert.rejects(vip.addConnection("nobody"), { statusCode: 404 });
  });

  test("a group is a room of Socket.IO", async (world) => {
    const { ann, heard, annId } = await two(world);
    const room = world.rest().group(group("r1"));
    await ann.emitWithAck("join", "r1");
    assert.deepEqual(await heardBefore(world, heard, () => room.sendToAll(packet("news", 1), TEXT)), ["ann:1"]);
    const own = world.rest().group(group(ann.id));
    assert.deepEqual(await heardBefore(world, heard, () => own.sendToAll(packet("news", 2), TEXT)), ["ann:2"]);
    const whole = world.rest().group(group(""));
    assert.deepEqual(await heardBefore(world, heard, () => whole.sendToAll(packet("news", 3), TEXT)), [
      "ann:3",
      "bob:3",
    ]);
    await world.rest().group(group("r2")).addConnection(annId);
    const app = () =>
      world.apps[0].run(({ io }) => {
        io.to("r2").emit("news", 4);
      });
    assert.deepEqual(await heardBefore(world, heard, app), ["ann:4"]);
  });

  test("group: addUser, removeUser; removeUserFromAllGroups, removeConnectionFromAllGroups", async (world) => {
    const { heard, annId } = await two(world);
    const rest = world.rest();
    const [a, b] = [rest.group("a"), rest.group("b")];
    const both = async () => {
      await a.sendToAll(packet("news", "a"), TEXT);
      await b.sendToAll(packet("news", "b"), TEXT);
    };
    await a.addUser("ann");
    await b.addUser("ann");
    assert.deepEqual(await heardBefore(world, heard, both), ["ann:a", "ann:b"]);
    await a.removeUser("ann");
    assert.deepEqual(await heardBefore(world, heard, both), ["ann:b"]);
    await rest.removeUserFromAllGroups("ann");
    assert.deepEqual(await heardBefore(world, heard, both).catch((error) => error.message), []);
    await a.addConnection(annId);
    await rest.removeConnectionFromAllGroups(annId);
    assert.equal(await rest.groupExists("a"), false);
  });

  test("addConnectionsToGroups, removeConnectionsFromGroups, by filter", async (world) => {
    const { heard } = await two(world);
    const rest = world.rest();
    await rest.addConnectionsToGroups(["x", group("rx")], "userId in ('ann','bob')");
    const send = async () => {
      await rest.group("x").sendToAll(packet("news", "x"), TEXT);
      await rest.group(group("rx")).sendToAll(packet("news", "rx"), TEXT);
    };
    assert.deepEqual(await heardBefore(world, heard, send), ["ann:rx", "ann:x", "bob:rx", "bob:x"]);
    await rest.removeConnectionsFromGroups(["x"], "userId eq 'ann'");
    assert.deepEqual(await heardBefore(world, heard, send), ["ann:rx", "bob:rx", "bob:x"]);
  });

  test("closeConnection, closeUserConnections, closeAllConnections, group.closeAllConnections", async (world) => {
    const { ann, bob, annId } = await two(world);
    const rest = world.rest();
    const cases = [
      [ann, () => rest.closeConnection(annId)],
      [bob, () => rest.closeUserConnections("bob")],
    ];
    for (const [client, act] of cases) {
      const { id } = client;
      const gone = next(client, "disconnect");
      await act();
      assert.equal((await gone)[0], "transport close");
      await world.apps[0].noted("disconnect", (ended) => ended.id === id);
    }
    const again = await two(world);
    await rest.group("g").addConnection(again.annId);
    const gone = [next(again.ann, "disconnect"), next(again.bob, "disconnect")];
    await rest.group("g").closeAllConnections();
    await gone[0];
    assert.ok(again.bob.connected);
    await rest.closeAllConnections();
    await gone[1];
  });

  test("grantPermission, hasPermission, revokePermission", async (world) => {
    const { annId } = await two(world);
    const rest = world.rest();
    const has = (targetName) => rest.hasPermission(annId, "sendToGroup", { targetName });
    assert.equal(await has("g"), false);
    await rest.grantPermission(annId, "sendToGroup", { targetName: "g" });
    assert.deepEqual([await has("g"), await has("h")], [true, false]);
    await rest.revokePermission(annId, "sendToGroup", { targetName: "g" });
    assert.equal(await has("g"), false);
    await rest.grantPermission(annId, "sendToGroup");
    assert.equal(await has("h"), true);
  });

  test("getClientAccessToken, signed by the client and by the node", async (world) => {
    const { token } = await world.rest().getClientAccessToken({ userId: "eve", clientProtocol: "socketio" });
    const url = `${world.url}/api/hubs/${HUB}/:generateToken?userId=eve&role=a&minutesToExpire=5&api-version=2024-12-01`;
    const made = await fetch(url, { method: "POST", headers: { authorization: `Bearer ${sign({ aud: url })}` } });
    assert.equal(made.status, 200);
    for (const access_token of [token, (await made.json()).token]) {
      const client = world.open("/", { query: { access_token } });
      await connected(client);
      const { claims } = await world.apps[0].noted("connection", ({ id }) => id === client.id);
      assert.deepEqual(claims.sub, ["eve"]);
      assert.equal(await world.rest().userExists("eve"), true);
      client.disconnect();
    }
  });

  test("health", async (world) => {
    for (const method of ["HEAD", "GET"])
      assert.equal((await fetch(`${world.url}/api/health`, { method })).status, 200);
  });

  test("an event and its acknowledgements, streamed", async (world) => {
    const { ann, bob } = await two(world);
    ann.on("question", (answer) => answer("ann"));
    bob.on("question", (answer) => answer("bob"));
    const url = `${world.url}/api/hubs/${HUB}/:invoke?api-version=2024-12-01`;
    const response = await fetch(url, {
      method: "POST",
      headers: { authorization: `Bearer ${sign({ aud: url })}`, "content-type": "text/plain" },
      body: packet("question"),
    });
    const lines = (await response.text())
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).Payload);
    assert.equal(response.status, 200);
    assert.deepEqual(lines.map((line) => line.replace(/^43\d+/, "")).sort(), ['["ann"]', '["bob"]']);
  });
});

inAzureWorld("what Azure's REST API refuses", {}, (test) => {
  const call = (world, path, { method = "POST", token, body } = {}) => {
    const url = `${world.url}/api/hubs/${path}`;
    const authorization = token === null ? undefined : `Bearer ${token ?? sign({ aud: url })}`;
    return fetch(url, {
      method,
      body,
      headers: { ...(authorization && { authorization }), "content-type": "text/plain" },
    });
  };
  const refused = async (answer, status, code) => {
    const body = method(answer);
    const error = await body;
    assert.equal(answer.status, status, JSON.stringify(error));
    assert.equal(error.code, code);
    assert.equal(answer.headers.get("x-ms-error-code"), code);
    assert.ok(error.message.length > 10, error.message);
    assert.deepEqual(Object.keys(error).sort(), ["code", "details", "inner", "message", "target"]);
    return error;
  };
  const method = (answer) => answer.json();

  test("tokens: none, expired, for another URL, of another key, unsigned", async (world) => {
    const aud = `${world.url}/api/hubs/${HUB}/:send`;
    const past = Math.floor(Date.now() / 1000) - 301;
    const tokens = {
      token_missing: null,
      token_expired: sign({ aud, exp: past }),
      token_audience: sign({ aud: `${world.url}/api/hubs/other/:send` }),
      token_signature: sign({ aud }, { key: "another key of at least 32 bytes, really" }),
      token_malformed: sign({ aud }, { alg: "none" }),
    };
    const before = await world.node.metrics();
    for (const token of Object.values(tokens)) {
      await refused(await call(world, `${HUB}/:send`, { token, body: packet("x") }), 401, "Unauthorized");
    }
    const after = await world.node.metrics();
    for (const cause of Object.keys(tokens)) {
      const name = `trunkline_azure_calls_unauthorized_total{cause="${cause}"}`;
      assert.equal(after.get(name), (before.get(name) ?? 0) + 1, name);
    }
  });

  test("a token for the URL with or without its query, in any case, is good", async (world) => {
    const path = `${HUB}/:send?api-version=2024-12-01`;
    for (const aud of [
      `${world.url}/api/hubs/${path}`,
      `${world.url}/api/hubs/${HUB}/:send`,
      `${world.url}/API/hubs/DEFAULT/:send`,
    ]) {
      assert.equal((await call(world, path, { token: sign({ aud }), body: packet("x") })).status, 202, aud);
    }
  });

  test("filters that do not parse, with the place of the mistake", async (world) => {
    for (const filter of ["userId eq", "userid = 'x'", "'a' in grops", "(userId eq 'a'"]) {
      const answer = await call(world, `${HUB}/:send?filter=${encodeURIComponent(filter)}`, { body: packet("x") });
      const error = await refused(answer, 400, "InvalidFilter");
      assert.match(error.message, /position \d+/);
    }
  });

  test("group names at their limits", async (world) => {
    const name = (length) => "g".repeat(length);
    assert.equal((await call(world, `${HUB}/groups/${name(1024)}/:send`, { body: packet("x") })).status, 202);
    await refused(
      await call(world, `${HUB}/groups/${name(1025)}/:send`, { body: packet("x") }),
      400,
      "InvalidGroupName",
    );
    await refused(await call(world, `${HUB}/groups//:send`, { body: packet("x") }), 400, "InvalidGroupName");
  });

  test("bodies that are no packets, or not the JSON that is needed", async (world) => {
    await refused(await call(world, `${HUB}/:send`, { body: "hello" }), 400, "InvalidPayload");
    await refused(await call(world, `${HUB}/:addToGroups`, { body: "{}" }), 400, "InvalidJson");
    await refused(await call(world, `${HUB}/:send`, { body: "4".repeat(9 << 20) }), 413, "PayloadTooLarge");
  });

  test("paths, methods, hubs and parameters that are not there", async (world) => {
    await refused(await call(world, `${HUB}/nothing`), 404, "NotFound");
    await refused(await call(world, `${HUB}/:send`, { method: "DELETE" }), 405, "MethodNotAllowed");
    await refused(await call(world, "2nobody/:send"), 404, "HubNotFound");
    await refused(
      await call(world, `${HUB}/groups/g/connections?maxpagesize=201`, { method: "GET" }),
      400,
      "InvalidParameter",
    );
  });

  test("no token is ever in the log", async (world) => {
    const token = sign({ aud: "https://elsewhere" });
    await call(world, `${HUB}/:send`, { token, body: packet("x") });
    await fetch(`${world.url}/server/tunnel?hub=${HUB}&access_token=${token}`);
    await fetch(`${world.url}${HUB_PATH}/?EIO=4&transport=polling&access_token=${token}`);
    assert.ok(!world.node.log.text.includes(token.split(".")[1]));
    assert.ok(!world.node.log.text.includes("access_token"));
    assert.ok(KEY.length >= 32);
  });
});

withAzureWorld(
  "bodies of calls that never end stay below the ceiling of memory",
  { args: ["--memory-bytes-max", "67108864"] },
  async (world) => {
    const length = 8 << 20;
    const url = `${world.url}/api/hubs/${HUB}/:send?api-version=2024-01-01`;
    const { pathname, search, host } = new URL(url);
    const head = requestHead("POST", pathname + search, {
      host,
      authorization: `Bearer ${sign({ aud: url })}`,
      "content-type": "text/plain",
      "content-length": length,
    });
    const almostAll = Buffer.alloc(length - 1, "x");
    const calls = Array.from({ length: 40 }, () => new RawStream(world.node.port).write(head).write(almostAll));
    try {
      await until("a call is refused for want of memory", () => calls.some(({ status }) => status === 503));
      const { heap } = await until("the node's heap", async () => {
        const text = await (await fetch(`${world.node.adminUrl}/metrics`)).text();
        const line = /^trunkline_memory_heap_bytes (\d+)/m.exec(text);
        return line && { heap: Number(line[1]) };
      });
      assert.ok(heap < 2 * 67_108_864, `the heap is ${heap}`);
    } finally {
      for (const call of calls) call.destroy();
    }
    await until("a client connects again", async () => {
      const client = world.open("/", { transports: ["websocket"], timeout: 2000 });
      try {
        await connected(client);
        return true;
      } finally {
        client.close();
      }
    });
  },
);
