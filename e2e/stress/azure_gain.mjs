// What an app gains by moving from Microsoft's SDK to ours: the same node, clients and events, one SDK after the other.
//
// `node stress/azure_gain.mjs [--clients 100] [--seconds 5] [--rounds 3]` prints a table; nothing is asserted.
import { parseArgs } from "node:util";
import { until } from "../../testing/wait.mjs";
import { AzureWorld, HUB_PATH } from "../harness/azure.mjs";

const { values } = parseArgs({
  options: {
    clients: { type: "string", default: "100" },
    seconds: { type: "string", default: "5" },
    rounds: { type: "string", default: "3" },
  },
});
const [CLIENTS, SECONDS, ROUNDS] = [Number(values.clients), Number(values.seconds), Number(values.rounds)];
const BROADCASTS = 1000;

const cpuMs = (app) =>
  app.run(() => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  });

/** Events per second and CPU time of the app server. */
async function measured(app, act) {
  const [cpuBefore, begun] = [await cpuMs(app), performance.now()];
  const count = await act();
  const seconds = (performance.now() - begun) / 1000;
  return { perSecond: count / seconds, cpuUs: (((await cpuMs(app)) - cpuBefore) * 1000) / count };
}

async function echo(clients) {
  const until_ = performance.now() + SECONDS * 1000;
  let count = 0;
  await Promise.all(
    clients.map(async (client) => {
      while (performance.now() < until_) {
        await client.emitWithAck("echo", "x".repeat(64));
        count += 1;
      }
    }),
  );
  return count;
}

async function broadcast(app, clients) {
  let heard = 0;
  for (const client of clients) client.on("news", () => (heard += 1));
  // In portions, as an app does: each portion in one turn of its event loop.
  for (let sent = 0; sent < BROADCASTS; sent += 10) {
    await app.run(({ io }) => {
      for (let at = 0; at < 10; at += 1) io.emit("news", "x".repeat(64));
    });
  }
  await until("all broadcasts", () => heard === BROADCASTS * clients.length, { withinMs: 120_000 });
  return BROADCASTS;
}

async function round(sdk) {
  const world = await AzureWorld.start({ servers: [] });
  try {
    const app =
      sdk === "Microsoft's"
        ? await world.startAzureApp({ name: "azure" })
        : await world.startApp({ name: "native", trunkline: {} });
    const options = { transports: ["websocket"], path: HUB_PATH };
    const clients = [];
    for (let at = 0; at < CLIENTS; at += 1) clients.push(await world.client("/", options));
    return {
      echo: await measured(app, () => echo(clients)),
      broadcast: await measured(app, () => broadcast(app, clients)),
    };
  } finally {
    await world.stop();
  }
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

const rounds = { "Microsoft's": [], ours: [] };
for (let number = 0; number < ROUNDS; number += 1) {
  for (const sdk of Object.keys(rounds)) rounds[sdk].push(await round(sdk));
}
console.log(`${CLIENTS} clients, medians of ${ROUNDS} rounds in turn\n`);
console.log(
  "| SDK | echo/s | app CPU per echo, µs | broadcasts/s | app CPU per broadcast, µs |\n|---|---|---|---|---|",
);
for (const [sdk, results] of Object.entries(rounds)) {
  const cell = (what, which) => median(results.map((result) => result[what][which])).toFixed(0);
  console.log(
    `| ${sdk} | ${cell("echo", "perSecond")} | ${cell("echo", "cpuUs")} | ${cell("broadcast", "perSecond")} | ${cell("broadcast", "cpuUs")} |`,
  );
}
process.exit(0);
