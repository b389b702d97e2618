// Clients that flood, beside clients of the same app server that echo once a second:
//
//   node stress/flood.mjs [--clients 500] [--floods 1,10] [--seconds 8] [--rounds 1] [--threads 2] [--only trunkline]
//                         [--polling]
//
// For each target (Trunkline, plain Socket.IO) and number of flooding clients a row: how long the echoes of the others
// took before, during and after the flood, and how many of its own echoes the flood got. Rounds alternate the targets.
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { startApp } from "../harness/app.mjs";
import { startNode } from "../harness/node.mjs";
import { Worker } from "./worker.mjs";

const { values } = parseArgs({
  options: {
    clients: { type: "string", default: "500" },
    floods: { type: "string", default: "1,10" },
    seconds: { type: "string", default: "8" },
    rounds: { type: "string", default: "1" },
    threads: { type: "string", default: "2" },
    only: { type: "string", default: "trunkline,plain" },
    polling: { type: "boolean", default: false },
  },
});
const seconds = Number(values.seconds);

/** Starts an app server on this target. Returns the port and path for clients. */
async function start(target) {
  if (target === "trunkline") {
    const node = await startNode({ threads: Number(values.threads) });
    const app = await startApp({ app: "attacked", trunkline: { endpoint: node.url } });
    return { port: node.port, app, stop: () => node.stop() };
  }
  const app = await startApp({ app: "attacked" });
  return { port: Number(new URL(app.url).port), app, stop: () => undefined };
}

async function run(target, count) {
  const { port, app, stop } = await start(target);
  const path = "/socket.io/";
  const crowd = new Worker("attacks/crowd.mjs", port, path, values.clients, 1);
  const flood = new Worker("flood_client.mjs", port, path, count, values.polling ? "polling" : "websocket");
  try {
    await crowd.hears("ready", 60_000);
    await flood.hears("ready", 60_000);
    for (const phase of ["before", "during", "after"]) {
      crowd.tell({ kind: "phase", phase });
      if (phase === "during") flood.tell({ kind: "start" });
      await pause(seconds * 1_000);
      if (phase === "during") flood.tell({ kind: "stop" });
      if (phase !== "before") {
        crowd.tell({ kind: "phase", phase: undefined });
        await pause(1_000);
      }
    }
    const { answers, ended } = await flood.hears("report", 60_000);
    crowd.tell({ kind: "report" });
    const report = await crowd.hears("report", 60_000);
    return { ...report, perSecond: answers / seconds, ended };
  } finally {
    await crowd.stop();
    await flood.stop();
    await app.stop();
    await stop();
  }
}

const ms = (value) => value.toFixed(1).padStart(8);
console.log(`p50 / p99 / max in ms, ${values.clients} clients that echo once a second`);
for (let round = 0; round < Number(values.rounds); round += 1) {
  for (const count of values.floods.split(",").map(Number)) {
    for (const target of values.only.split(",")) {
      const { p50, p99, max, lost, perSecond, ended } = await run(target, count);
      const cells = ["before", "during", "after"].map((phase) => [p50, p99, max].map((of) => ms(of[phase])).join(" /"));
      console.log(
        `${target.padEnd(10)} ${String(count).padStart(3)} flooding  before ${cells[0]}  during ${cells[1]}  after ${cells[2]}` +
          `  lost ${lost}  flood ${Math.round(perSecond)} echoes/s, ${ended} ended`,
      );
    }
  }
}
