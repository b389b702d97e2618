// Handshakes and sessions whose app server ends at a bad moment: none of them remains, not even in a count.
import { engineUrl, socketUrl } from "../../testing/engine.mjs";
import { requestHead, requestText } from "../../testing/http.mjs";
import { RawStream } from "../../testing/stream.mjs";
import { send } from "../../testing/trunk_batch.mjs";
import { until } from "../../testing/wait.mjs";
import { upgradeHead } from "../../testing/websocket.mjs";
import { inArena } from "../harness/arena.mjs";

const POLLING = /^trunkline_sessions\{transport="polling"/;
const WEBSOCKET = /^trunkline_sessions\{transport="websocket"/;

for (const [transport, head] of [
  ["WebSocket", upgradeHead(socketUrl())],
  ["polling", requestText("GET", engineUrl())],
]) {
  inArena(
    `a client that goes while the second app server accepts it leaves no session: ${transport}`,
    {},
    async (arena) => {
      const apps = [await arena.app({ accepts: false }), await arena.app({ accepts: false })];
      const client = new RawStream(arena.node.port).write(head);
      const asked = await until("Open", () => apps.find(({ opens }) => opens.length > 0));
      const other = apps.find((app) => app !== asked);
      asked.kill();
      const { session } = await until("Open at the other", () => other.opens[0]);
      await arena.atOnce(async () => {
        other.accept(session);
        await until("it has left", () => other.unsentBytes === 0);
        client.destroy();
        await client.closed();
      });
      // Long before the heartbeat would notice.
      await other.heard("Close", session);
      await arena.counted(POLLING, 0);
      // The neighbour's session.
      await arena.counted(WEBSOCKET, 1);
    },
  );
}

const SLOWLY = { args: ["--orphan-close-per-second", "1"] };

inArena("a POST that comes to its end when the app server is gone does not keep its session", SLOWLY, async (arena) => {
  const app = await arena.app();
  // They are closed before it: its body has arrived by then.
  await arena.polling(app);
  await arena.polling(app);
  const { polling } = await arena.polling(app);
  const poll = polling.get().catch(() => {});
  const [begun, rest] = ["4hal", "f."];
  const head = requestHead("POST", polling.path, { "content-length": begun.length + rest.length });
  const stream = new RawStream(arena.node.port).write(head + begun);
  await arena.rounds(5);
  app.kill();
  // The neighbour's trunk is left.
  await arena.counted(/^trunkline_trunks$/, 1);
  stream.write(rest);
  // No app server has received the message, so the client must not be told that one has.
  await stream.closed();
  await poll;
  await arena.counted(/sessions_closed_total\{.*cause="app_server_lost"/, 1);
});

inArena(
  "clients that take nothing more do not outlast their app server for long",
  { args: ["--outbox-bytes-max", "32MiB"] },
  async (arena) => {
    const app = await arena.app({ settings: { pingInterval: 1000, pingTimeout: 1000 } });
    const { session } = await arena.polling(app);
    app.send(send(session, "nobody polls for this"));
    const socket = await arena.session(app);
    socket.client.pause();
    // More than the stream's buffers can take.
    for (let sent = 0; sent < 20; sent += 1) app.send(send(socket.session, "x".repeat(900_000)));
    await app.ping();
    app.kill();
    await arena.counted(POLLING, 0);
    await arena.counted(WEBSOCKET, 1);
  },
);
