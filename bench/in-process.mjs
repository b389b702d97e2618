// What the SDK itself costs an app server, without a node and without I/O: memory per socket, CPU per echo and per
// connecting client. Two builds of the SDK take turns in one run, and so do Socket.IO's own objects over a connection
// that does nothing. `--base DIR` is a copy of `sdk/node` of another commit, built.
import { fork } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { setImmediate as turn, setTimeout as wait } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const here = fileURLToPath(import.meta.url);
const present = fileURLToPath(new URL("../sdk/node", import.meta.url));
const { values: options } = parseArgs({
  options: {
    base: { type: "string" },
    rounds: { type: "string", default: "60" },
    // What a child does: not for the command line.
    child: { type: "string" },
    sdk: { type: "string" },
  },
});
const CLIENTS = 500;
const SOCKETS = 10_000;
const MESSAGES = 4_000;
const A_TURN = 20;
const ECHO = `20["echo","${"x".repeat(32)}"]`;

/** A Socket.IO server with the SDK of a folder; what comes from the node is fed to the trunk's machine. */
async function fedBySdk(folder) {
  const require = createRequire(`${folder}/package.json`);
  const load = (file) => import(pathToFileURL(`${folder}/dist/esm/${file}.js`).href);
  const [{ useTrunkline }, { Machine }, { encodeFrame }, { Writer }] = await Promise.all(
    ["index", "trunk/machine", "trunk/encode", "trunk/writer"].map(load),
  );
  const encode = (frames) => {
    const writer = new Writer();
    for (const frame of frames) encodeFrame(writer, frame);
    return Buffer.from(writer.take());
  };
  const http = createServer().listen(0, "127.0.0.1");
  await once(http, "listening");
  const node = new (require("ws").WebSocketServer)({ server: http });
  const io = new (require("socket.io").Server)();
  let machine;
  const { handleBatch, start } = Machine.prototype;
  const watched = (method) =>
    function (...args) {
      machine = this;
      return method.apply(this, args);
    };
  Object.assign(Machine.prototype, { handleBatch: watched(handleBatch), start: watched(start) });
  const trunkline = useTrunkline(io, { endpoint: `http://127.0.0.1:${http.address().port}` });
  const [stream] = await once(node, "connection");
  const info = '{"node":"n1","version":"0","warnings":[],"frames":["Mark"]}';
  const limits = { credit: 2 ** 31, pingIntervalMs: 2 ** 30, batchBytesMax: 2 ** 24 };
  stream.send(encode([{ type: "Welcome", version: 1, ...limits, info }]));
  await trunkline.ready;
  Object.assign(Machine.prototype, { handleBatch, start });
  machine.outbound.host.transmit = (batch) => machine.outbound.recycle(batch);
  const feed = (frames) => machine.handleBatch(frames);
  const message = (session, text) => ({ type: "Message", session, flags: 0, payload: Buffer.from(text) });
  return {
    io,
    opened: (numbers) => encode(numbers.map(openFrame)),
    said: (numbers, text) => encode(numbers.map((number) => message(number, text))),
    feed,
  };
}

function openFrame(session) {
  const key = Buffer.from(String(session).padStart(16, "k")).toString("base64");
  const headers = {
    host: "127.0.0.1:3000",
    upgrade: "websocket",
    connection: "Upgrade",
    "sec-websocket-version": "13",
  };
  const rawHeaders = Object.entries({ ...headers, "sec-websocket-key": key }).flat();
  const url = "/socket.io/?EIO=4&transport=websocket";
  const request = { transport: 2, flags: 0, address: "127.0.0.1", port: 1024 + (session % 60_000), method: "GET", url };
  return {
    type: "Open",
    session,
    eio: 4,
    sid: `s${session}`.padEnd(20, "x"),
    request: { ...request, rawHeaders, claims: "" },
  };
}

/** Socket.IO's own objects, over connections that only count what is written. */
function fedBare(folder) {
  const { Server } = createRequire(`${folder}/package.json`)("socket.io");
  const io = new Server();
  io.engine = { opts: {} };
  const request = { headers: {}, _query: {}, connection: {}, url: "/socket.io/?EIO=4&transport=websocket" };
  const conns = [];
  class Bare extends EventEmitter {
    protocol = 4;
    readyState = "open";
    transport = { writable: true };
    request = request;
    write() {}
    constructor(id) {
      super();
      this.id = id;
    }
  }
  const open = (number) => io.onconnection((conns[number] = new Bare(`s${number}`.padEnd(20, "x"))));
  return {
    io,
    opened: (numbers) => () => numbers.forEach(open),
    said: (numbers, text) => {
      const payload = Buffer.from(text);
      return () => numbers.forEach((number) => conns[number].emit("data", payload.toString()));
    },
    feed: (act) => act(),
  };
}

function groups(first, count) {
  const all = Array.from({ length: count }, (_, index) => first + index);
  return Array.from({ length: count / A_TURN }, (_, index) => all.slice(index * A_TURN, (index + 1) * A_TURN));
}

async function play({ feed }, batches) {
  for (const batch of batches) {
    feed(batch);
    await turn();
  }
}

function connecting(server, first, count) {
  return groups(first, count).flatMap((numbers) => [server.opened(numbers), server.said(numbers, "0")]);
}

async function heapBytes() {
  for (let round = 0; round < 6; round++) {
    globalThis.gc();
    await wait(20);
  }
  return process.memoryUsage().heapUsed;
}

async function cpuUs(operations, action) {
  const before = process.cpuUsage();
  await action();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / operations;
}

async function child() {
  const server = options.child === "bare" ? fedBare(options.sdk) : await fedBySdk(options.sdk);
  server.io.on("connection", (socket) => socket.on("echo", (text, answer) => answer(text)));
  await play(server, connecting(server, 0, CLIENTS));
  const echoes = groups(0, CLIENTS).map((numbers) => server.said(numbers, ECHO));
  const all = Array.from({ length: MESSAGES / A_TURN }, (_, index) => echoes[index % echoes.length]);
  for (let round = 0; round < 20; round++) await play(server, all);
  let next = CLIENTS;
  const acts = {
    echo: () => cpuUs(MESSAGES, () => play(server, all)),
    connect: () => {
      const batches = connecting(server, next, 1_000);
      next += 1_000;
      return cpuUs(1_000, () => play(server, batches));
    },
    memory: async () => {
      const before = await heapBytes();
      await play(server, connecting(server, next, SOCKETS));
      next += SOCKETS;
      return ((await heapBytes()) - before) / SOCKETS;
    },
  };
  process.on("message", async (what) => process.send(await acts[what]()));
  process.send("ready");
}

async function parent() {
  const rows = { sdk: [present, "sdk"], "socket.io alone": [present, "bare"] };
  if (options.base) rows["base sdk"] = [options.base, "sdk"];
  const children = {};
  for (const [row, [sdk, kind]] of Object.entries(rows)) {
    const one = fork(here, ["--child", kind, "--sdk", sdk], { execArgv: ["--expose-gc"] });
    await once(one, "message");
    children[row] = one;
  }
  const ask = async (row, what) => {
    children[row].send(what);
    return (await once(children[row], "message"))[0];
  };
  const times = { echo: Number(options.rounds), connect: 15, memory: 1 };
  const units = { echo: "us CPU/echo", connect: "us CPU/connecting client", memory: "heap B/socket" };
  for (const [what, count] of Object.entries(times)) {
    const found = Object.fromEntries(Object.keys(rows).map((row) => [row, []]));
    for (let round = 0; round < count; round++) {
      const order = round % 2 ? Object.keys(rows) : Object.keys(rows).reverse();
      for (const row of order) found[row].push(await ask(row, what));
    }
    console.log(`${units[what]}, median of ${count}`);
    for (const [row, list] of Object.entries(found)) {
      const ratio = median(list.map((value, round) => value / found["socket.io alone"][round]));
      console.log(`  ${row.padEnd(16)} ${median(list).toFixed(2).padStart(9)}  ${ratio.toFixed(2)} of socket.io alone`);
    }
  }
  for (const one of Object.values(children)) one.kill();
}

function median(list) {
  return [...list].sort((one, other) => one - other)[list.length >> 1];
}

await (options.child ? child() : parent());
