// Clients that change their app server when something is wrong with the next one, with the former one, or with all.
import assert from "node:assert/strict";
import { until } from "../../testing/wait.mjs";
import { withWorld } from "../harness/test.mjs";
import { TRANSPORTS } from "../harness/world.mjs";

const SETTINGS = {
  threads: 2,
  app: "faulty",
  options: { connectionStateRecovery: { skipMiddlewares: true } },
  trunklineOnly: true,
};
const RETURNING = { reconnection: true, reconnectionDelay: 10, reconnectionDelayMax: 50 };

const isOver = ({ child }) => child.exitCode !== null || child.signalCode !== null;
const notesOf = (app, kind, client) => app.notes.filter((note) => note.kind === kind && note.data.client === client);
const homeOf = (world, client) => world.apps.findLast((app) => notesOf(app, "connected", client).length > 0);
/** The state of each socket of an app server is with its node. */
const saveAll = (app) =>
  app.run(({ io, trunkline }) => Promise.all([...io.sockets.sockets.values()].map((each) => trunkline.save(each))));

/** A client, and what it went through. */
async function join(world, name, { nsp = "/", transport = "websocket", ...options } = {}) {
  const socket = await world.client(nsp, {
    ...TRANSPORTS[transport],
    ...RETURNING,
    auth: { client: name },
    ...options,
  });
  const client = { name, socket, id: socket.id, ends: [], connects: [], errors: [] };
  socket.on("disconnect", (reason) => client.ends.push(reason));
  socket.on("connect", () => client.connects.push(socket.recovered));
  socket.on("connect_error", (error) => client.errors.push(error.message));
  await until("its offset", () => socket._lastOffset !== undefined);
  return client;
}

withWorld(
  "a client that brings down the app server that adopts it is not given to the next one",
  { ...SETTINGS, servers: ["amber", "cobalt", "jade"] },
  async (world) => {
    const poison = await join(world, "poison");
    const others = [];
    for (let number = 0; number < 6; number += 1) others.push(await join(world, `idle ${number}`));
    const home = await until("its app server", () => homeOf(world, "poison"));
    await saveAll(home);
    await home.stop("SIGKILL");
    // It comes back by itself, as a new client: nothing of it was kept.
    await until("its return", () => poison.connects.length > 0);
    assert.deepEqual([poison.connects, poison.ends.length], [[false], 1]);
    await until("answers", async () => (await Promise.all(others.map(answers))).every(Boolean));
    const died = world.apps.filter((app) => app !== home && isOver(app));
    assert.equal(died.length, 1, `these died of it: ${died.map(({ name }) => name)}`);
    const adopters = world.apps.filter((app) => notesOf(app, "connected", "poison").some(({ data }) => data.rehomed));
    assert.deepEqual(adopters, died);
  },
);

const answers = ({ socket }) => socket.connected && socket.timeout(5_000).emitWithAck("server");
