// Measures serverless mode: the time from an event to its handler's answer, next to a direct call of the same handler;
// and what happens while the handler is down.
//
// node stress/serverless.mjs [--clients 20] [--events 200] [--down 30]
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { until } from "../../testing/wait.mjs";
import { Serverless, startHandler } from "../harness/handler.mjs";

const { values } = parseArgs({
  options: {
    clients: { type: "string", default: "20" },
    events: { type: "string", default: "200" },
    down: { type: "string", default: "30" },
  },
});
const [CLIENTS, EVENTS, DOWN_S] = [values.clients, values.events, values.down].map(Number);
const ROUND_MS = 1_000;

const percentile = (times, part) =>
  times.sort((a, b) => a - b)[Math.min(times.length - 1, Math.floor(times.length * part))];
const line = (name, times) =>
  `${name.padEnd(44)} p50 ${percentile(times, 0.5).toFixed(2)} ms   p99 ${percentile(times, 0.99).toFixed(2)} ms   (${times.length})`;

async function timed(times, act) {
  const begun = performance.now();
  await act();
  times.push(performance.now() - begun);
}

/** The same requests without a node. */
async function direct(handler, times, count) {
  const url = `http://127.0.0.1:${handler.port}/events/echo`;
  const headers = {
    "content-type": "text/plain",
    "ce-type": "azure.webpubsub.user.message",
    "ce-connectionid": "x",
    "ce-signature": "x",
    "webhook-request-origin": "x",
  };
  for (let at = 0; at < count; at += 1) {
    await timed(times, async () => (await fetch(url, { method: "POST", headers, body: '420["echo",1]' })).text());
  }
}

async function echoes(socket, times, count) {
  for (let at = 0; at < count; at += 1) await timed(times, () => socket.emitWithAck("echo", 1));
}

async function latency(world) {
  const socket = await world.connected("/", { transports: ["websocket"] });
  for (const warm of [true, false]) {
    const [alone, through] = [[], []];
    await direct(world.handler, alone, EVENTS);
    await echoes(socket, through, EVENTS);
    if (!warm) {
      console.log(line("one at a time, the handler alone", alone));
      console.log(line("one at a time, event → webhook → answer", through));
    }
  }
  const sockets = await Promise.all(
    Array.from({ length: CLIENTS }, () => world.connected("/", { transports: ["websocket"] })),
  );
  const [alone, through] = [[], []];
  await Promise.all(sockets.map(() => direct(world.handler, alone, EVENTS)));
  await Promise.all(sockets.map((one) => echoes(one, through, EVENTS)));
  console.log(line(`${CLIENTS} at a time, the handler alone`, alone));
  console.log(line(`${CLIENTS} at a time, event → webhook → answer`, through));
  return sockets;
}

async function outage(world, sockets) {
  const counted = async () =>
    new Map(
      [...(await world.node.metrics())].filter(([name]) => /azure_(webhook|serverless|clients_closed)/.test(name)),
    );
  const before = await counted();
  const { port } = world.handler;
  await world.handler.stop();
  const begun = Date.now();
  const since = () => ((Date.now() - begun) / 1000).toFixed(1);
  let [sent, answered, lost, closed, refused, connected] = [0, 0, 0, 0, 0, 0];
  const recovered = [];
  let back = Infinity;
  for (const socket of sockets) socket.on("disconnect", () => (closed += 1));
  const rounds = [];
  // Every second each client asks, without waiting for the answer before.
  const ask = () =>
    sockets.map((socket) => {
      sent += 1;
      return socket
        .timeout(60_000)
        .emitWithAck("echo", 1)
        .then(
          () => {
            answered += 1;
            if (back !== Infinity) recovered.push(Date.now() - back);
          },
          () => (lost += 1),
        );
    });
  const newcomer = () => {
    const socket = world.client("/", { transports: ["websocket"] });
    socket.once("connect", () => (connected += 1));
    socket.once("connect_error", () => (refused += 1));
  };
  for (let round = 0; round < DOWN_S; round += 1) {
    rounds.push(...ask());
    newcomer();
    await sleep(ROUND_MS);
  }
  const pending = (await counted()).get("trunkline_azure_webhook_pending");
  console.log(
    `handler down for ${since()} s: ${sent} events sent, ${answered} answered, ${closed} clients closed; new clients: ${refused} refused, ${connected} connected; calls pending ${pending}`,
  );
  world.handler = await startHandler(port);
  back = Date.now();
  await until("an answer after the return", () => recovered.length > 0, { withinMs: 60_000 });
  console.log(`first answer ${recovered[0]} ms after the handler's return`);
  await Promise.all(rounds);
  console.log(
    `all settled ${((Date.now() - back) / 1000).toFixed(1)} s after it: ${answered} of ${sent} answered, ${lost} never; ${closed} clients closed; new clients: ${refused} refused, ${connected} connected`,
  );
  for (const [name, value] of await counted()) {
    const grown = value - (before.get(name) ?? 0);
    if (/_total/.test(name) && grown > 0) console.log(`  ${name} +${grown}`);
  }
}

const world = await Serverless.start();
try {
  const sockets = await latency(world);
  if (DOWN_S > 0) await outage(world, sockets);
} finally {
  await world.stop();
}
