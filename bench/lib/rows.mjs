// The rows of the ledger: the servers between clients and the app's code, and what a row needs to be installed.
import { existsSync } from "node:fs";
import { execFileSync } from "node:child_process";

import { clientsThatFit } from "./processes.mjs";
import {
  BUN,
  peerBinary,
  startApp,
  startBalancer,
  startBunApp,
  startPeer,
  startRedis,
  startTrunkline,
} from "./servers.mjs";

export const BARE = "bare limit";
export const BARE_URING = "bare limit, io_uring";
export const TRUNKLINE = "trunkline";
export const TRUNKLINE_BUN = "app on Bun behind trunkline";
export const TRUNKLINE_STAY = "trunkline, recovery, clients end with their app server";
export const TRUNKLINE_MOVE = "trunkline, recovery, clients move";
export const BUN_ENGINE = "socket.io on Bun";
export const OXIDE = "socketioxide";
export const NPM = "npm socket.io + ws";
export const NPM_REDIS = "npm socket.io, 2 workers + Redis + HAProxy";

const PEERS_BUILD = "cargo build --release --manifest-path bench/peers/Cargo.toml";

/**
 * `start(appServers, options)` starts a row's servers, `missing(options)` says what must be installed first,
 * `clientsMax` is how many sessions the row can hold with this machine's descriptors, `kills` means that it survives
 * the death of an app server, `byName` that it is left out unless it is named.
 */
export const ROWS = {
  [BARE]: { start: () => system([() => startPeer("bare")]), missing: () => binary("bare") },
  [BARE_URING]: { start: () => system([() => startPeer("bare", ["--io-uring"])]), missing: () => binary("bare") },
  [TRUNKLINE]: behindTrunkline(startApp, () => undefined),
  [TRUNKLINE_BUN]: behindTrunkline(startBunApp, bun),
  [TRUNKLINE_STAY]: { ...withRecovery("stay"), byName: true },
  [TRUNKLINE_MOVE]: { ...withRecovery("move"), byName: true },
  // With the engine that Socket.IO offers for Bun: the fastest Socket.IO server in JavaScript.
  [BUN_ENGINE]: {
    start: (appServers) => system(times(appServers, () => startBunApp({ BUN_ENGINE: "1" }))),
    missing: bun,
    kills: true,
  },
  [OXIDE]: { start: () => system([() => startPeer("socketioxide")]), missing: () => binary("socketioxide") },
  [NPM]: {
    start: (appServers) => system(times(appServers, () => startApp({}))),
    missing: () => undefined,
    kills: true,
  },
  [NPM_REDIS]: {
    start: () =>
      system([
        () => startRedis(),
        ...times(2, ([redis]) => startApp({ REDIS_URL: redis.url })),
        (started) => startBalancer(started.filter(({ name }) => name === "app")),
      ]),
    missing: () =>
      program("redis-server", "apt-get install redis-server") ?? program("haproxy", "apt-get install haproxy"),
    // The balancer holds two descriptors for each client, and some of its own.
    clientsMax: clientsThatFit(2) - 1_000,
    kills: true,
  },
};

function behindTrunkline(startOne, missing) {
  return {
    start: (appServers, { trunkline, nodeArgs }) =>
      system([
        () => startTrunkline(trunkline, nodeArgs),
        ...times(appServers, ([node]) => startOne({ TRUNKLINE_ENDPOINT: node.url })),
      ]),
    missing: ({ trunkline }) => (existsSync(trunkline) ? missing() : "cargo build --release"),
    kills: true,
  };
}

function withRecovery(RECOVERY) {
  return behindTrunkline(
    (environment) => startApp({ ...environment, RECOVERY }),
    () => undefined,
  );
}

/** Adds Trunkline once more, with further arguments for its node: `NAME=ARGUMENTS`. Returns the row's name. */
export function addVariant(text) {
  const [, name, args] = /^([^=]+)=(.*)$/.exec(text) ?? [];
  if (!name || name in ROWS) throw new Error(`a variant is NAME=ARGUMENTS with a name of its own, not ${text}`);
  const start = (appServers, options) => {
    const nodeArgs = [...options.nodeArgs, ...args.split(" ").filter(Boolean)];
    return ROWS[TRUNKLINE].start(appServers, { ...options, nodeArgs });
  };
  ROWS[name] = { ...ROWS[TRUNKLINE], start };
  return name;
}

/**
 * The rows whose names contain one of the texts (separated by semicolons); a text that is a whole name selects that row
 * only.
 */
export function rowsNamed(texts) {
  const names = Object.keys(ROWS);
  const chosen = texts.split(";").flatMap((text) => {
    const found = names.includes(text) ? [text] : names.filter((name) => name.includes(text));
    if (found.length === 0) throw new Error(`no row ${text}; there are: ${names.join("; ")}`);
    return found;
  });
  return names.filter((name) => chosen.includes(name));
}

function times(count, start) {
  return Array.from({ length: count }, () => start);
}

/** Starts the parts one after another; each gets those before it. When one fails, the running ones are ended. */
async function system(starters) {
  const started = [];
  const stop = () => Promise.all(started.map((one) => one.stop()));
  try {
    for (const one of starters) started.push(await one(started));
  } catch (error) {
    await stop();
    throw error;
  }
  return { ...doors(started), servers: started, stop };
}

/** Clients connect to the front part: the balancer, else the node, else the apps themselves. */
function doors(started) {
  const named = (name) => started.filter((one) => one.name === name);
  const front = ["balancer", "node", "app"].map(named).find((some) => some.length > 0);
  return {
    urls: front.map(({ url }) => url),
    processes: started.map(({ name, pid }) => `${name}=${pid}`),
    appPids: named("app").map(({ pid }) => pid),
    // A balancer has a connection of its own for each connection of a client.
    pairs: front[0].name === "balancer" ? 2 : 1,
  };
}

function binary(name) {
  return existsSync(peerBinary(name)) ? undefined : PEERS_BUILD;
}

function bun() {
  return existsSync(BUN) ? undefined : "npm ci";
}

function program(name, install) {
  try {
    execFileSync("which", [name], { stdio: "ignore" });
    return undefined;
  } catch {
    return install;
  }
}
