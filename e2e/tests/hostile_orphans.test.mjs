// Handshakes and sessions whose app server goes in a bad moment: none of them stays behind, not even as a count.
import { connect } from "node:net";
import { POLL, SOCKET, inArena } from "../harness/arena.mjs";
import { send } from "../harness/fake_app.mjs";
import { until, within } from "../harness/until.mjs";
import { Raw, request, upgradeHead } from "../harness/wire.mjs";

const POLLING = /^trunkline_sessions\{transport="polling"/;
const WEBSOCKET = /^trunkline_sessions\{transport="websocket"/;

for (const [transport, head] of [
  ["WebSocket", upgradeHead(`/socket.io/?${SOCKET}`)],
  ["polling", `GET /socket.io/?${POLL} HTTP/1.1\r\nHost: x\r\n\r\n`],
]) {
  inArena(`a client that goes while the second app server accepts it leaves no session: ${transport}`, {}, async (arena) => {
    const apps = [await arena.app({ accepts: false }), await arena.app({ accepts: false })];
    const client = new Raw(arena.node.port).write(head);
    const asked = await until("Open", () => apps.find(({ opens }) => opens.length > 0));
    const other = apps.find((app) => app !== asked);
    asked.kill();
    const { session } = await until("Open at the other", () => other.opens[0]);
    await arena.atOnce(async () => {
      other.accept(session);
      await until("it has left", () => other.ws.bufferedAmount === 0);
      client.destroy();
      await client.closed();
    });
    // Long before the heartbeat would notice.
    await other.heard("Close", session);
    await arena.counted(POLLING, 0);
    // The neighbour's.
    await arena.counted(WEBSOCKET, 1);
  });
}

const SLOWLY = { args: ["--orphan-close-per-second", "1"] };

inArena("a POST that comes to its end when the app server is gone does not keep its session", SLOWLY, async (arena) => {
  const app = await arena.app();
  // They are closed before it: by then its body has come.
  await arena.polling(app);
  await arena.polling(app);
  const { sid } = await arena.polling(app);
  const poll = request(arena.node, `${POLL}&sid=${sid}`).catch(() => {});
  const stream = connect(arena.node.port, "127.0.0.1");
  stream.on("error", () => {});
  const end = new Promise((done) => stream.once("close", done));
  stream.write(`POST /socket.io/?${POLL}&sid=${sid} HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n4hal`);
  await arena.rounds(5);
  app.kill();
  // The neighbour's is left.
  await arena.counted(/^trunkline_trunks$/, 1);
  stream.write("f.");
  // Nobody has heard the message: the client is not told that somebody has.
  await within("the end of the POST", end);
  await poll;
  await arena.counted(/sessions_closed_total\{.*cause="app_server_lost"/, 1);
});

inArena("clients that take nothing more do not outlast their app server for long", { args: ["--outbox-bytes-max", "32MiB"] }, async (arena) => {
  const app = await arena.app({ settings: { pingInterval: 1000, pingTimeout: 1000 } });
  const { session } = await arena.polling(app);
  app.send(send(session, "nobody polls for this"));
  const socket = await arena.session(app);
  socket.client.pause();
  // More than the buffers of the stream take.
  for (let sent = 0; sent < 20; sent += 1) app.send(send(socket.session, "x".repeat(900_000)));
  await app.ping();
  app.kill();
  await arena.counted(POLLING, 0);
  await arena.counted(WEBSOCKET, 1);
});
