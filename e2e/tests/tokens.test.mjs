// Tokens of clients that end while their sessions are open.
import assert from "node:assert/strict";
import { once } from "node:events";
import { DEVELOPMENT_KEY, epochSeconds, signToken, trunkToken } from "../../testing/token.mjs";
import { until, within } from "../../testing/wait.mjs";
import { withWorld } from "../harness/test.mjs";
import { TRANSPORTS } from "../harness/world.mjs";

const HUB = "/clients/socketio/hubs/default";
const withToken = (world, seconds, transport) => ({
  ...transport,
  path: HUB,
  query: {
    access_token: signToken({ aud: `${world.url}${HUB}`, exp: epochSeconds() + seconds }, { key: DEVELOPMENT_KEY }),
  },
});

const closing = { args: ["--client-token-expiry", "close"], trunklineOnly: true };
withWorld("a session ends with its client's token, and the app learns why", closing, async (world) => {
  await world.app("amber").run(({ io, note }) => {
    io.on("connection", (socket) => socket.on("disconnect", (reason, details) => note("end", { reason, details })));
  });
  const lasting = await world.client("/", withToken(world, 600, TRANSPORTS.websocket));
  const plain = await world.client("/", TRANSPORTS.websocket);
  for (const transport of [TRANSPORTS.websocket, TRANSPORTS.polling]) {
    const client = await world.client("/", withToken(world, 2, transport));
    const [reason] = await within("the end of the session", once(client, "disconnect"));
    assert.match(reason, /transport (close|error)/);
  }
  const { reason, details } = await world.app("amber").noted("end");
  assert.deepEqual([reason, details.context], ["transport close", { cause: "token_expired", blame: "client" }]);
  assert.ok(lasting.connected && plain.connected);
  await until("both in the metrics", async () => {
    const metrics = await world.node.metrics();
    return metrics.get('trunkline_sessions_closed_total{cause="token_expired",blame="client"}') === 2;
  });
});

const off = { trunklineOnly: true };
withWorld("by default a session outlives its client's token, as in plain Socket.IO", off, async (world) => {
  const client = await world.client("/", withToken(world, 1, TRANSPORTS.websocket));
  const ended = epochSeconds() + 2;
  await until("the end of the token", () => epochSeconds() > ended);
  assert.equal(await client.emitWithAck("server"), "amber");
});

/** A token of a user, as an app's backend signs it. */
const tokenOf = (world, user, seconds, claims = {}, key = DEVELOPMENT_KEY) => {
  const now = epochSeconds();
  return signToken({ aud: `${world.url}${HUB}`, sub: user, iat: now, exp: now + seconds, ...claims }, { key });
};
const as = (transport, token) => ({ ...transport, path: HUB, query: { access_token: token } });

withWorld("a client gives its app another token before the first one ends, and stays", closing, async (world) => {
  const app = world.app("amber");
  await app.run(({ io, trunkline, note }) => {
    io.on("connection", (socket) => {
      socket.on("disconnect", (_, details) => note("end", details?.context?.cause));
      // Seconds before the end, so that the test is short.
      trunkline.tokens.onExpiring(
        socket,
        async (expiresAt) => {
          const token = await socket.timeout(5_000).emitWithAck("token please");
          const before = trunkline.tokens.claims(socket);
          const { claims } = await trunkline.tokens.refresh(socket, token);
          note("refreshed", {
            lasted: before.exp * 1000 === expiresAt.getTime(),
            level: claims.level,
            now: trunkline.tokens.claims(socket).level,
          });
        },
        { before: 2_000 },
      );
    });
  });
  for (const transport of [TRANSPORTS.websocket, TRANSPORTS.polling]) {
    const client = world.open("/", as(transport, tokenOf(world, "anna", 3)));
    client.on("token please", (answer) => answer(tokenOf(world, "anna", 600, { level: "new" })));
    await within("the connection", once(client, "connect"));
    assert.deepEqual(await app.noted("refreshed"), { lasted: true, level: "new", now: "new" });
    app.notes.length = 0;
    const ended = epochSeconds() + 4;
    await until("the end of the first token", () => epochSeconds() > ended);
    assert.equal(await client.emitWithAck("server"), "amber");
    client.close();
    await app.noted("end");
    app.notes.length = 0;
  }
});

withWorld("a token that is not for the session is refused with its reason", closing, async (world) => {
  const app = world.app("amber");
  const client = await world.client("/", as(TRANSPORTS.websocket, tokenOf(world, "7", 600)));
  const numbered = await world.client("/", as(TRANSPORTS.websocket, tokenOf(world, 7, 600)));
  const plain = await world.client("/", { ...TRANSPORTS.websocket, path: HUB });
  const refresh = (id, token) =>
    app.run(
      async ({ io, trunkline }, [sid, text]) => {
        try {
          return (await trunkline.tokens.refresh(io.sockets.sockets.get(sid), text)).claims.sub;
        } catch (error) {
          return error.code;
        }
      },
      [id, token],
    );
  for (const [id, token, expected] of [
    [client.id, tokenOf(world, "7", 900), "7"],
    [client.id, tokenOf(world, 7, 900), "token_of_other_user"],
    [client.id, tokenOf(world, "07", 900), "token_of_other_user"],
    [numbered.id, tokenOf(world, 7, 900), 7],
    [numbered.id, tokenOf(world, 8, 900), "token_of_other_user"],
    [numbered.id, tokenOf(world, "7", 900), "token_of_other_user"],
    [client.id, tokenOf(world, "7", -400), "token_expired"],
    [client.id, tokenOf(world, "7", 900, {}, "another key that is not the hub's"), "token_signature"],
    [client.id, tokenOf(world, "7", 900, { aud: `${world.url}/clients/socketio/hubs/other` }), "token_audience"],
    [client.id, "nonsense", "token_malformed"],
    [client.id, "", "token_missing"],
    [plain.id, tokenOf(world, "7", 900), "session_without_token"],
  ]) {
    assert.equal(await refresh(id, token), expected);
  }
  assert.ok(client.connected && plain.connected);
});

const every = { trunklineOnly: true };
withWorld("revoked tokens end sessions and open none, by user and by id", every, async (world) => {
  const app = world.app("amber");
  await app.run(({ io, note }) => {
    io.on("connection", (socket) => socket.on("disconnect", (_, details) => note("end", details.context)));
  });
  const open = (token, transport = TRANSPORTS.websocket) => world.client("/", as(transport, token));
  const first = await open(tokenOf(world, "anna", 600));
  const second = await open(tokenOf(world, "anna", 600), TRANSPORTS.polling);
  const other = await open(tokenOf(world, "bert", 600, { jti: "b1" }));
  const revoke = (what) => app.run(({ trunkline }, asked) => trunkline.tokens.revoke(asked), what);
  const ends = Promise.all([once(first, "disconnect"), once(second, "disconnect")]);
  assert.deepEqual(await revoke({ user: "anna" }), { nodes: 1, sessions: 2 });
  await within("the ends", ends);
  assert.deepEqual(await app.noted("end"), { cause: "token_revoked", blame: "app_server" });
  assert.ok(other.connected);
  const refused = async (token) => {
    const answer = await fetch(`${world.url}${HUB}/?EIO=4&transport=polling&access_token=${token}`);
    return [answer.status, answer.status === 200 ? "" : (await answer.json()).error];
  };
  assert.deepEqual(await refused(tokenOf(world, "anna", 600, { iat: epochSeconds() - 5 })), [401, "token_revoked"]);
  assert.deepEqual(await refused(tokenOf(world, "anna", 600, { iat: undefined })), [401, "token_revoked"]);
  assert.deepEqual(await refused(tokenOf(world, "anna", 600, { iat: epochSeconds() + 5 })), [200, ""]);
  assert.deepEqual(await refused(tokenOf(world, "Anna", 600)), [200, ""]);
  const gone = once(other, "disconnect");
  assert.deepEqual(await revoke({ tokenId: "b1", keepFor: 60 }), { nodes: 1, sessions: 1 });
  await within("its end", gone);
  assert.deepEqual(await refused(tokenOf(world, "bert", 600, { jti: "b1" })), [401, "token_revoked"]);
  assert.deepEqual(await refused(tokenOf(world, "bert", 600, { jti: "b2" })), [200, ""]);
  const numbered = await open(tokenOf(world, 7, 600));
  assert.deepEqual(await revoke({ user: "7" }), { nodes: 1, sessions: 0 });
  assert.deepEqual(await revoke({ user: 7 }), { nodes: 1, sessions: 1 });
  await until("its end", () => !numbered.connected);
});

withWorld("any program with the hub's key can refresh and revoke over HTTP", closing, async (world) => {
  const client = await world.client("/", as(TRANSPORTS.websocket, tokenOf(world, "anna", 3)));
  const call = async (name, args, token = trunkToken({ key: DEVELOPMENT_KEY })) => {
    const answer = await fetch(`${world.url}/trunk/v1/calls/${name}`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      body: typeof args === "string" ? args : JSON.stringify(args),
    });
    const body = await answer.json();
    return [answer.status, body.error ?? body];
  };
  const sid = client.io.engine.id;
  const token = tokenOf(world, "anna", 600);
  const [status, said] = await call("tokens.refresh", { sid, token });
  assert.deepEqual([status, said.claims.sub], [200, "anna"]);
  const ended = epochSeconds() + 4;
  await until("the end of the first token", () => epochSeconds() > ended);
  assert.ok(client.connected);
  for (const [name, args, expected] of [
    ["tokens.refresh", { sid: `${sid.slice(0, -1)}x`, token }, [404, "session_unknown"]],
    ["tokens.refresh", { sid: "", token }, [404, "session_unknown"]],
    ["tokens.refresh", { sid }, [400, "arguments"]],
    ["tokens.refresh", { session: 0, token }, [400, "arguments"]],
    ["tokens.refresh", { sid, token: tokenOf(world, "bert", 600) }, [403, "token_of_other_user"]],
    ["tokens.revoke", {}, [400, "arguments"]],
    ["tokens.revoke", { user: "anna", tokenId: "1" }, [400, "arguments"]],
    ["tokens.revoke", { user: "anna", keepFor: 0 }, [400, "arguments"]],
    ["tokens.revoke", { user: "anna", mistyped: 1 }, [400, "arguments"]],
    ["tokens.revoke", "{", [400, "arguments"]],
    ["tokens.revoke", "x".repeat(100_000), [400, "arguments"]],
    ["tokens.nothing", {}, [404, "call_unknown"]],
  ]) {
    assert.deepEqual(await call(name, args), expected);
  }
  const strangers = trunkToken({ key: "a key that is not that of this hub at all" });
  assert.deepEqual(await call("tokens.revoke", { user: "anna" }, strangers), [401, "token_signature"]);
  // A client's token opens nothing here.
  assert.equal((await call("tokens.revoke", { user: "anna" }, token))[0], 401);
  assert.ok(client.connected);
  assert.deepEqual(await call("tokens.revoke", { user: "anna" }), [200, { sessions: 1 }]);
  await until("its end", () => !client.connected);
});

const two = (full) => ({ args: ["--user-sessions-max", "2", "--user-sessions-full", full], trunklineOnly: true });
withWorld("one session too many closes the user's oldest", two("close_oldest"), async (world) => {
  await world.app("amber").run(({ io, note }) => {
    io.on("connection", (socket) => socket.on("disconnect", (_, details) => note("end", details.context.cause)));
  });
  const open = (user) =>
    world.client("/", { ...as(TRANSPORTS.websocket, tokenOf(world, user, 600)), reconnection: false });
  const other = await open("bert");
  const [first, second] = [await open("anna"), await open("anna")];
  const gone = once(first, "disconnect");
  const third = await open("anna");
  await within("the end of the oldest", gone);
  assert.equal(await world.app("amber").noted("end"), "user_sessions_full");
  // All at once: however many come together, two stay.
  const options = { ...as(TRANSPORTS.websocket, tokenOf(world, "anna", 600)), reconnection: false };
  const many = Array.from({ length: 12 }, () => world.open("/", options));
  // Each has either connected, or was closed before it could.
  await Promise.all(many.map((one) => new Promise((done) => one.once("connect", done).io.once("close", done))));
  const anna = [second, third, ...many];
  await until("two of them", () => anna.filter(({ connected }) => connected).length === 2);
  for (const one of anna.filter(({ connected }) => connected)) assert.equal(await one.emitWithAck("server"), "amber");
  assert.ok(other.connected);
});

withWorld("one session too many is refused where the hub says so", two("refuse"), async (world) => {
  const shake = async () => {
    const token = tokenOf(world, "anna", 600);
    const answer = await fetch(`${world.url}${HUB}/?EIO=4&transport=polling&access_token=${token}`);
    return answer.status === 200 ? 200 : [answer.status, (await answer.json()).error];
  };
  const answers = await Promise.all(Array.from({ length: 20 }, shake));
  assert.equal(answers.filter((answer) => answer === 200).length, 2, "also when all come at once");
  for (const answer of answers) if (answer !== 200) assert.deepEqual(answer, [429, "user_sessions_full"]);
});
