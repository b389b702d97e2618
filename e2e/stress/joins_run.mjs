// One run of rounds: an app server changes a socket's rooms and notifies another one, which broadcasts.
import { io as connect } from "socket.io-client";
import { next, until, within } from "../../testing/wait.mjs";
import { startApp } from "../harness/app.mjs";
import { startNode } from "../harness/node.mjs";

/** Whether the message of a round must arrive. Must match what `joins_app.mjs` does. */
const REACHES = { join: true, leave: false, excepted: false, forgiven: true };
const NAMES = Object.keys(REACHES);
const kindOf = (round) => NAMES[round % NAMES.length];
const ROUNDS_MS_MAX = 300_000;

/**
 * `clients` decides where the second trunk lives, because streams are dealt out in turn: with 2 threads an odd number
 * puts both trunks on one thread. @returns the rounds that went wrong, by kind, and how many broadcasts the node
 * released after waiting without success
 */
export async function run({ threads, rounds, clients: count, awaits = false, chatter = 0 }) {
  const node = await startNode({ threads });
  const apps = [];
  const clients = [];
  try {
    const start = async (name) => {
      apps.push(await startApp({ app: "../stress/joins_app", name, trunkline: { endpoint: node.url } }));
      return apps.at(-1);
    };
    const mover = await start("amber");
    const heard = [];
    for (let n = 0; n < count; n += 1) {
      const client = connect(node.url, { transports: ["websocket"], forceNew: true, reconnection: false });
      clients.push(client);
      client.on("hit", (round) => heard.push(round));
      await next(client, "connect");
    }
    const teller = await start("cobalt");
    const port = await teller.run(({ listen }) => listen());
    for (const app of apps) await app.run((context, perMs) => context.chatter(perMs), chatter);
    await within(
      "the rounds",
      mover.run((context, argument) => context.move(argument), { port, rounds, awaits }),
      ROUNDS_MS_MAX,
    );
    for (const app of apps) await app.run((context) => context.chatter(0));
    // Earlier broadcasts have arrived when this one has.
    const waiting = new Set(clients);
    for (const client of clients) client.once("end", () => waiting.delete(client));
    await until("the last word", () => teller.run(({ told }, rounds) => told() === rounds, rounds));
    await teller.run(({ io }) => io.emit("end"));
    await until("the last broadcast", () => waiting.size === 0);
    const expired = (await node.metrics()).get("trunkline_trunk_waits_expired_total");
    return { wrong: judge(rounds, heard), expired };
  } finally {
    for (const client of clients) client.close();
    for (const app of apps) await app.stop();
    await node.stop();
  }
}

function judge(rounds, heard) {
  const times = new Map();
  for (const round of heard) times.set(round, (times.get(round) ?? 0) + 1);
  const wrong = Object.fromEntries(NAMES.map((name) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    if ((times.get(round) ?? 0) !== (REACHES[kindOf(round)] ? 1 : 0)) wrong[kindOf(round)].push(round);
  }
  return wrong;
}
