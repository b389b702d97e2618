// A node is reloaded again and again under load: keys rotate, hubs come and go, limits, the log's level and, with
// `--tls`, the certificates change.
//
//   node stress/reload.mjs [--clients 200] [--storm 20] [--seconds 20] [--threads 2] [--tls]
//
// `clients` echo all the time; `storm` others connect, echo once and leave, in a loop, by polling and by WebSocket. Prints
// what was lost and refused, which should be nothing, and how long echoes and reloads took. Exit code 1 if anything was.
import { execFile } from "node:child_process";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Authority } from "../harness/certificates.mjs";
import { BINARY, startNode } from "../harness/node.mjs";
import { TRANSPORTS, World } from "../harness/world.mjs";

const { values } = parseArgs({
  options: {
    clients: { type: "string", default: "200" },
    storm: { type: "string", default: "20" },
    seconds: { type: "string", default: "20" },
    threads: { type: "string", default: "2" },
    tls: { type: "boolean", default: false },
  },
});
const KEY = "the-key-of-the-hub-that-goes-on-1";
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const folder = mkdtempSync(join(tmpdir(), "trunkline-reload-"));
const file = join(folder, "trunkline.toml");
const authority = values.tls ? new Authority() : undefined;
const certificates = Array.from({ length: values.tls ? 4 : 0 }, (_, number) =>
  authority.sign(`own${number}`, { names: ["localhost"] }),
);
const trust = values.tls ? { ca: authority.pem } : {};

/** The file of one round: everything that may change differs from that of the round before. */
function fileOf(round) {
  const others = Array.from({ length: round % 4 }, (_, number) => {
    return `[hub.extra${number}]\nkeys = ["the-key-of-an-extra-hub-${round}-${number}"]\n`;
  });
  return [
    `sessions_max = ${100_000 + round}`,
    `outbox_bytes_max = "${1 + (round % 8)}MiB"`,
    `handshake_timeout = "${10 + (round % 10)}s"`,
    `log = "${round % 2 === 0 ? "info" : "warn"}"`,
    `client_tokens = "optional"`,
    ...(values.tls ? [`tls_cert_file = "own.pem"`, `tls_key_file = "own.key"`] : []),
    "[hub.chat]",
    "default = true",
    `keys = ["${KEY}", "the-other-key-of-round-${round}-0000"]`,
    ...others,
  ].join("\n");
}

const write = (round) => {
  if (values.tls) {
    const { cert, key } = certificates[round % certificates.length];
    writeFileSync(join(folder, "own.pem"), cert);
    writeFileSync(join(folder, "own.key"), key);
  }
  writeFileSync(`${file}.new`, fileOf(round));
  renameSync(`${file}.new`, file);
};
write(0);
const world = new World();
const node = await startNode({ command: "serve", threads: Number(values.threads), args: ["--config", file] });
world.nodes.push(node);
const secure = values.tls ? `https://localhost:${node.port}` : undefined;
const reload = () =>
  new Promise((done) => {
    const args = ["reload", "--config", file, "--ready-file", join(node.folder, "ready.json")];
    execFile(BINARY, args, (failed, _out, error) => done(failed === null ? undefined : error));
  });

const figures = { lost: 0, refused: 0, unanswered: 0, opened: 0, echoes: 0, reloads: 0, reloadsFailed: 0 };
const echoMs = [];
const reloadMs = [];
let goesOn = true;

async function echo(client) {
  const begun = performance.now();
  try {
    await client.timeout(10_000).emitWithAck("server");
    echoMs.push(performance.now() - begun);
    figures.echoes += 1;
  } catch {
    if (goesOn) figures.unanswered += 1;
  }
}

async function talk(client) {
  while (goesOn) {
    await echo(client);
    await pause(50);
  }
}

async function storm(options) {
  while (goesOn) {
    const client = world.open("/", { ...options, ...trust }, secure);
    const isOpen = await new Promise((done) => {
      client.once("connect", () => done(true));
      client.once("connect_error", () => done(false));
    });
    if (isOpen) {
      figures.opened += 1;
      await echo(client);
    } else if (goesOn) figures.refused += 1;
    client.disconnect();
    world.clients.splice(world.clients.indexOf(client), 1);
  }
}

try {
  await world.startApp({
    name: "amber",
    trunkline: { hub: "chat", key: KEY, ...(secure && { endpoint: secure, tls: trust }) },
  });
  const steady = [];
  for (let count = 0; count < Number(values.clients); count += 1) {
    const transport = count % 4 === 0 ? TRANSPORTS.polling : TRANSPORTS.websocket;
    const client = await world.client("/", { ...transport, ...trust }, secure);
    client.on("disconnect", () => {
      if (goesOn) figures.lost += 1;
    });
    steady.push(client);
  }
  const kinds = [TRANSPORTS.websocket, TRANSPORTS.polling, TRANSPORTS.upgrade];
  const running = [
    ...steady.map(talk),
    ...Array.from({ length: Number(values.storm) }, (_, number) => storm(kinds[number % kinds.length])),
  ];
  const until = Date.now() + Number(values.seconds) * 1000;
  for (let round = 1; Date.now() < until; round += 1) {
    write(round);
    const begun = performance.now();
    const failed = await reload();
    reloadMs.push(performance.now() - begun);
    figures.reloads += 1;
    if (failed !== undefined) {
      figures.reloadsFailed += 1;
      console.error(failed);
    }
  }
  goesOn = false;
  await Promise.all(running);
} finally {
  goesOn = false;
  await world.stop();
  rmSync(folder, { recursive: true, force: true });
  authority?.remove();
}

const at = (list, part) => list.sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * part))] ?? 0;
for (const [name, count] of Object.entries(figures)) console.log(`${name.padEnd(16)} ${count}`);
console.log(`echo ms          p50 ${at(echoMs, 0.5).toFixed(1)}, p99 ${at(echoMs, 0.99).toFixed(1)}`);
console.log(`reload ms        p50 ${at(reloadMs, 0.5).toFixed(1)}, p99 ${at(reloadMs, 0.99).toFixed(1)}`);
const bad = figures.lost + figures.refused + figures.unanswered + figures.reloadsFailed;
process.exitCode = bad === 0 ? 0 : 1;
