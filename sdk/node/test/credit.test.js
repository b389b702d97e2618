import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { connectClient, startApp, types } from "./support/app.js";
import { HeldFrames } from "../dist/esm/trunk/held.js";
import { encodeFrame } from "../dist/esm/trunk/encode.js";

const WINDOW = 8 * 1024 * 1024;

test("the app server gives back what it has processed, half a window at a time", async (t) => {
  const { io, trunk } = await startApp(t);
  const socket = await connectClient(io, trunk, 1);
  assert.equal(trunk.hello.credit, WINDOW);
  let bytes = 0;
  socket.on("bulk", (data) => (bytes += data.length));
  const text = `2["bulk","${"x".repeat(1024 * 1024)}"]`;
  const cost = Buffer.byteLength(text) + 2;
  for (let index = 0; index < 3; index++) trunk.text(1, text);
  await trunk.settle();
  assert.deepEqual(
    trunk.frames.filter((frame) => frame.type === "Credit"),
    [],
  );
  trunk.text(1, text);
  const { bytes: given } = await trunk.next("Credit");
  // The CONNECT packet of the session was data, too.
  assert.equal(given, 4 * cost + 3);
  assert.equal(bytes, 4 * 1024 * 1024);
});

test("a node that sends beyond its credit ends its trunk with error 4", async (t) => {
  const { io, trunk } = await startApp(t);
  await connectClient(io, trunk, 1);
  const frame = { type: "Message", session: 1, flags: 1, payload: Buffer.alloc(WINDOW) };
  const one = { type: "Message", session: 1, flags: 0, payload: Buffer.from("2[]") };
  // In one batch, so that nothing can be given back between them; the first may overdraw.
  trunk.send(frame, one);
  assert.equal((await trunk.next("Error")).code, 4);
});

test("without credit frames are held in order, counted, and go on when credit comes", async (t) => {
  const { io, trunk, trunkline } = await startApp(t, { node: { welcome: { credit: 1 } } });
  trunk.open(1);
  await trunk.next("Accept");
  const connected = once(io, "connection");
  trunk.text(1, "0");
  const [socket] = await connected;
  // The CONNECT packet overdrew the credit of one byte.
  await trunk.next("Send");
  trunk.frames.length = 0;
  socket.emit("a");
  socket.join("r");
  io.to("r").emit("b");
  socket.leave("r");
  socket.disconnect(true);
  await trunk.settle();
  assert.deepEqual(types(trunk.frames), []);
  assert.ok(trunkline.stats.heldBytes > 30);
  // A new session is accepted meanwhile.
  trunk.open(2);
  await trunk.next("Accept");
  trunk.send({ type: "Credit", bytes: 1000 });
  await trunk.next("Close");
  assert.deepEqual(types(trunk.frames), ["Send", "Join", "Broadcast", "Leave", "Send", "Detach"]);
  assert.equal(trunkline.stats.heldBytes, 0);
});

test("`io.close()` waits for credit, then says its last words", async (t) => {
  const { io, trunk } = await startApp(t, { node: { welcome: { credit: 1 } }, options: { close: "at once" } });
  trunk.open(1);
  await trunk.next("Accept");
  const connected = once(io, "connection");
  trunk.text(1, "0");
  const [socket] = await connected;
  socket.emit("last");
  io.close();
  await trunk.settle();
  trunk.send({ type: "Credit", bytes: 1000 });
  assert.equal(await trunk.closed, 1000);
  const tail = types(trunk.frames);
  assert.ok(tail.indexOf("Send") < tail.lastIndexOf("Send") && tail.lastIndexOf("Send") < tail.indexOf("Close"));
});

test("held frames leave one by one as credit comes, and never overtake", () => {
  const held = new HeldFrames();
  const sizes = [10, 5000, 3, 70_000, 1, 2];
  for (const size of sizes) {
    encodeFrame(held.writer, { type: "Send", session: 1, flags: 0, payload: Buffer.alloc(size, size) });
    encodeFrame(held.writer, { type: "Detach", session: size % 128, nsp: 0 });
  }
  const seen = [];
  let rounds = 0;
  while (held.bytes > 0) {
    rounds++;
    const used = held.release(1, (frame) => seen.push(frame[0] === 0x14 ? frame.length : "detach"));
    assert.ok(used > 0);
  }
  assert.equal(rounds, sizes.length);
  assert.deepEqual(seen.filter((each) => each === "detach").length, sizes.length);
  assert.ok(seen.every((each, index) => (index % 2 === 0) === (each !== "detach")));
  assert.equal(
    held.release(100, () => assert.fail("nothing is left")),
    0,
  );
});
