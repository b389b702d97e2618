// The stream under a trunk: what it writes is what a WebSocket reads.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { WebSocketServer } from "ws";
import { openWire } from "../dist/esm/transport/ws.js";

/** A wire to a WebSocket server; `got` are the messages that have come there. */
async function connect(t) {
  const http = createServer();
  const server = new WebSocketServer({ server: http, perMessageDeflate: false });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const got = [];
  server.on("connection", (socket) => socket.on("message", (data, isBinary) => got.push([data, isBinary])));
  const ended = [];
  const told = { sent: 0 };
  const opened = new Promise((onOpen) => {
    told.wire = openWire(new URL(`ws://127.0.0.1:${http.address().port}`), "token", undefined, {
      onOpen,
      onBatch: () => assert.fail("the server says nothing"),
      onSent: () => told.sent++,
      onRefused: () => assert.fail("it is not refused"),
      onClose: (code) => ended.push(code),
    });
  });
  await opened;
  t.after(() => {
    told.wire.terminate();
    server.close();
    http.close();
  });
  const [peer] = server.clients;
  return { wire: told.wire, told, got, ended, peer };
}

const batchOf = (length, number) => Buffer.alloc(length, number);
const until = async (isTrue) => {
  while (!isTrue()) await new Promise(setImmediate);
};

test("batches of any length arrive whole and in order, between the WebSocket's own frames", async (t) => {
  const { wire, told, got, peer } = await connect(t);
  const lengths = [1, 125, 126, 127, 8191, 8192, 8193, 65_535, 65_536, 3_000_000, 3];
  const batches = lengths.map(batchOf);
  let pongs = 0;
  peer.on("pong", () => pongs++);
  let sent = 0;
  for (const batch of batches) {
    peer.ping();
    wire.send(batch, () => sent++);
    await until(() => pongs > 0 || sent > 0);
  }
  await until(() => got.length === batches.length && sent === batches.length && pongs === batches.length);
  for (const [index, [data, isBinary]] of got.entries()) {
    assert.ok(isBinary);
    assert.ok(data.equals(batches[index]), `${lengths[index]} bytes`);
  }
  assert.deepEqual([told.sent, wire.isBlocked], [batches.length, false]);
});

test("what waits is known, and is sent before the wire closes", async (t) => {
  const { wire, got, ended, peer } = await connect(t);
  peer.pause();
  const short = batchOf(8_000, 1);
  let count = 0;
  while (!wire.isBlocked) {
    wire.send(short, () => undefined);
    count++;
  }
  wire.close(1000);
  wire.send(short, () => undefined);
  peer.resume();
  await until(() => ended.length > 0);
  assert.deepEqual([got.length, ended], [count, [1000]], "nothing follows the close frame");
});
