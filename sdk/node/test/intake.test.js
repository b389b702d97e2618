// Batches of the node while the stream does not take what is written.
import assert from "node:assert/strict";
import test from "node:test";
import { Intake } from "../dist/esm/trunk/intake.js";
import { encodeFrame } from "../dist/esm/trunk/encode.js";
import { Writer } from "../dist/esm/trunk/writer.js";
import { adoptFrame } from "./support/homes.js";

function batch(...frames) {
  const writer = new Writer();
  for (const frame of frames) encodeFrame(writer, frame);
  return Buffer.from(writer.buf.subarray(0, writer.pos));
}
const message = (text) => batch({ type: "Message", session: 1, flags: 0, payload: Buffer.from(text) });
const credit = batch({ type: "Credit", bytes: 7 });

/** An intake, and what its machine is told. The word that a batch is begun blocks the stream if `blocks` says so. */
function setUp({ tellsBegun = true } = {}) {
  const log = [];
  const outlet = { isBlocked: false };
  const state = { log, outlet, blocks: false };
  const receiver = {
    tellsBegun,
    handleBatch: (one) => log.push(["whole", one.length]),
    countBatch: (one, content) => {
      log.push([content === "nothing" ? "counted" : "begun", one.length]);
      state.content = content;
      if (content !== "nothing" && state.blocks) outlet.isBlocked = true;
    },
    handleCounted: (one) => log.push(["handled", one.length]),
  };
  state.intake = new Intake(receiver, outlet);
  return state;
}
const turn = () => new Promise((done) => setImmediate(done));

test("with a free stream a batch is begun and handled at once", () => {
  const { intake, log } = setUp();
  const one = message("one");
  intake.take(one);
  intake.take(credit);
  assert.deepEqual(log, [
    ["begun", one.length],
    ["handled", one.length],
    ["counted", credit.length],
    ["handled", credit.length],
  ]);
  assert.equal(intake.isWaiting, false);
});

test("a node that does not ask what is begun gets no delay", () => {
  const { intake, log, outlet } = setUp({ tellsBegun: false });
  outlet.isBlocked = true;
  intake.take(credit);
  assert.deepEqual(log, [["whole", credit.length]]);
});

test("while something written is still here, nothing is begun, and batches keep their order", async () => {
  const { intake, log, outlet } = setUp();
  const batches = [message("1"), credit, message("three")];
  outlet.isBlocked = true;
  for (const one of batches) intake.take(one);
  intake.handleDrained();
  assert.deepEqual(log, []);
  outlet.isBlocked = false;
  intake.handleDrained();
  assert.equal(log.length, 2, "one batch is one turn");
  await turn();
  await turn();
  assert.deepEqual(
    log.filter(([what]) => what === "handled").map(([, length]) => length),
    batches.map(({ length }) => length),
  );
});

test("the word that a batch is begun must have left before the app gets the batch", () => {
  const state = setUp();
  const { intake, log, outlet } = state;
  state.blocks = true;
  const one = message("one");
  intake.take(one);
  assert.deepEqual(log, [["begun", one.length]]);
  outlet.isBlocked = false;
  intake.handleDrained();
  assert.deepEqual(log.at(-1), ["handled", one.length]);
  assert.equal(log.length, 2, "it is counted once");
});

test("after a break only what was counted is still here", async () => {
  const state = setUp();
  const { intake, log, outlet } = state;
  state.blocks = true;
  const [one, two] = [message("one"), message("second")];
  intake.take(one);
  intake.take(two);
  intake.handleBreak();
  intake.handleDrained();
  assert.equal(log.length, 1, "without a stream nothing is handled");
  outlet.isBlocked = false;
  intake.handleResumed(outlet);
  await turn();
  assert.deepEqual(log, [
    ["begun", one.length],
    ["handled", one.length],
  ]);
  state.blocks = false;
  intake.take(two);
  assert.deepEqual(log.at(-1), ["handled", two.length]);
});

test("nothing is handled after the trunk's end", async () => {
  const { intake, log, outlet } = setUp();
  outlet.isBlocked = true;
  intake.take(message("one"));
  intake.take(message("two"));
  intake.end();
  outlet.isBlocked = false;
  intake.handleDrained();
  await turn();
  assert.deepEqual(log, []);
});

test("a batch that cannot be read waits for no word", () => {
  const { intake, log } = setUp();
  const broken = Buffer.from([0x13, 0xff]);
  intake.take(broken);
  assert.deepEqual(log.at(-1), ["handled", broken.length]);
});

test("messages are found behind other frames, and sessions to adopt behind messages", () => {
  const state = setUp();
  const contents = [
    [message("one"), "messages"],
    [credit, "nothing"],
    [Buffer.concat([credit, credit, message("one")]), "messages"],
    [Buffer.concat([message("one"), batch(adoptFrame(2))]), "adoptions"],
  ];
  for (const [one, content] of contents) {
    state.intake.take(one);
    assert.equal(state.content, content);
  }
});
