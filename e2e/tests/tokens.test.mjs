// Tokens of clients that end while their sessions are open.
import assert from "node:assert/strict";
import { once } from "node:events";
import { DEVELOPMENT_KEY, epochSeconds, signToken } from "../../testing/token.mjs";
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
