// One seed: a node, two app servers, real clients; rounds of random operations, each followed by a wait until nothing
// is under way.
import { until } from "../../testing/wait.mjs";
import { World } from "../harness/world.mjs";
import { OrderClient } from "./order_client.mjs";
import { Random } from "./random.mjs";

const SETTLED_WITHIN_MS = 30_000;
/** Options of the app servers: they notice soon that a client is cut off, and a busy machine causes no timeouts. */
const SERVER_OPTIONS = { pingInterval: 5_000, pingTimeout: 15_000 };

/** Runs the seed; returns the input for the oracle's `check`. */
export async function run({
  seed,
  clients = 200,
  rounds = 4,
  turns = 110,
  clientOperations = 900,
  threads,
  broadcastAcks = true,
}) {
  const world = await World.start({
    servers: ["amber", "cobalt"],
    threads,
    app: "../stress/order_app",
    options: SERVER_OPTIONS,
  });
  const all = Array.from({ length: clients }, (_, number) => new OrderClient(world.url, number));
  try {
    await settle(world, all);
    for (let round = 0; round < rounds; round += 1) {
      const seedOf = (part) => seed * 1_000 + round * 10 + part;
      const apps = world.apps.map((app, index) => {
        return app.run(({ program }, argument) => program.round(argument), {
          seed: seedOf(index),
          turns,
          clients,
          broadcastAcks,
        });
      });
      await Promise.all([...apps, act(all, new Random(seedOf(9)), clientOperations)]);
      await settle(world, all);
    }
    return await collect(world, all);
  } finally {
    for (const { socket } of all) socket.disconnect();
    await world.stop();
  }
}

/** Actions that the clients take. */
async function act(all, random, count) {
  const choices = [
    [70, (client) => client.say()],
    [20, (client) => client.ask()],
    [5, (client) => [client.say(), client.ask(), client.say()]],
    // After a cut that met no stream, a disconnect packet might or might not arrive.
    [3, (client) => (client.wasCut ? client.cut() : client.leave())],
    [2, (client) => client.cut()],
  ];
  for (let done = 0; done < count; done += 1) {
    const client = random.pick(all);
    if (client.socket.connected) random.weighted(choices)(client);
    else client.comeBack();
    if (random.chance(0.4)) await new Promise((next) => setTimeout(next, random.below(3)));
  }
}

/**
 * Waits until nothing is under way: every client is connected, has received a last broadcast of each app server, and
 * has the answer to a last question. If that does not happen, the oracle reports what is missing.
 */
async function settle(world, all) {
  await until(
    "all clients",
    () => {
      for (const client of all) client.comeBack();
      return all.every(({ socket }) => socket.connected);
    },
    { withinMs: SETTLED_WITHIN_MS },
  );
  const before = all.map(({ lives }) => lives.length);
  const questions = all.map((client) => client.ask());
  const marks = await Promise.all(world.apps.map((app) => app.run(markRound)));
  const isReplaced = (client, index) => client.lives.length !== before[index] || !client.socket.connected;
  const isSettled = (client, index) => {
    const { events } = client.lives.at(-1);
    return (
      marks.every((mark) => events.some(({ id }) => id === mark)) &&
      events.some(({ kind, number }) => kind === "acked" && number === questions[index])
    );
  };
  const done = (client, index) => isReplaced(client, index) || isSettled(client, index);
  await until("the last messages", () => all.every(done), { withinMs: SETTLED_WITHIN_MS }).catch(() => {});
  // The end of a cut stream was noticed only now.
  if (all.some(isReplaced)) await settle(world, all);
}

/** This function runs in the app. */
function markRound({ program }) {
  program.cast({});
  return program.log.at(-1).id;
}

async function collect(world, all) {
  const logs = [];
  for (const app of world.apps) {
    logs.push({ server: app.name, entries: await app.run(({ program }) => program.log) });
  }
  const problems = all
    .filter(({ strays }) => strays.length > 0)
    .map(({ number }) => `client ${number} heard something before it was connected`);
  for (const app of world.apps)
    if (app.log.count(/error/i) > 0) problems.push(`${app.name} said: ${app.log.text.slice(0, 500)}`);
  // A copy of the present state, because cleaning up changes it.
  return { logs, lives: structuredClone(all.flatMap(({ lives }) => lives)), problems };
}
