// What the node is told about its batches: what was received, what is begun, what is done.
import assert from "node:assert/strict";
import { test } from "node:test";
import { MachineUnderTest, message } from "./support/machine.js";
import { openFrame } from "./support/fake-node.js";
import { adoptFrame, HOMES, REHOMES as REHOMES_APP } from "./support/homes.js";
import { startApp, types, until } from "./support/app.js";

/** A trunk with session 1 accepted, whose node has been told of everything so far. */
function opened(options) {
  const end = new MachineUnderTest(options);
  end.node(openFrame(1));
  end.accept(1);
  end.take();
  end.heard();
  return end;
}

const REHOMES = { rehomes: true, resume: true };
const told = (frames, type) => frames.filter((frame) => frame.type === type);
const sum = (frames, key) => frames.reduce((total, frame) => total + frame[key], 0);

test("with rehome, `begun` is with the stream before the app gets the first message, `done` ends the turn", () => {
  const end = opened(REHOMES);
  const seen = [];
  end.onMessage = (number, text) => {
    seen.push(end.frames.splice(0));
    end.machine.outbound.send(number, 0, `re: ${text}`);
  };
  end.node(message(1, "a"), message(1, "b"));
  assert.deepEqual(seen, [[{ type: "Handled", begun: 1, done: 0 }], []], "once, before the first");
  assert.deepEqual(end.frames, [], "the answers wait for the end of the turn");
  assert.equal(end.isScheduled, true);
  const sent = end.take();
  assert.deepEqual(types(sent), ["Send", "Send", "Handled"]);
  assert.deepEqual([sent[2].begun, sent[2].done], [0, 1]);
});

test("what the turn had gathered before leaves with `begun`, so that nothing is overtaken", () => {
  const end = opened(REHOMES);
  end.machine.outbound.send(1, 0, "before");
  end.node(message(1, "a"));
  assert.deepEqual(types(end.frames), ["Send", "Handled"]);
});

test("an app that says nothing is done at the end of its turn, too", () => {
  const end = opened(REHOMES);
  end.node(message(1, "a"));
  assert.equal(end.isScheduled, true);
  assert.deepEqual(end.take(), [
    { type: "Handled", begun: 1, done: 0 },
    { type: "Handled", begun: 0, done: 1 },
  ]);
});

test("`done` never overtakes what the app said and what waits for credit; `begun` does", () => {
  const end = opened({ ...REHOMES, credit: 1 });
  end.onMessage = (number, text) => end.machine.outbound.send(number, 0, `re: ${text}`);
  end.node(message(1, "overdraws"));
  assert.deepEqual(types(end.take()), ["Handled", "Send", "Handled"]);
  end.node(message(1, "waits"));
  end.node({ type: "Ping", token: Buffer.alloc(0) });
  const sent = end.take();
  // The batch with the ping is begun, and counted at once: a later `begun` must not be taken for it.
  assert.deepEqual(
    [types(sent), sum(told(sent, "Handled"), "begun"), sum(told(sent, "Handled"), "done")],
    [["Handled", "Pong", "Handled"], 2, 0],
  );
  end.node({ type: "Credit", bytes: 1000 });
  const late = end.take();
  assert.deepEqual(types(late), ["Send", "Handled", "Handled"]);
  assert.deepEqual([sum(told(late, "Handled"), "begun"), sum(told(late, "Handled"), "done")], [1, 3]);
});

test("batches without messages are told of with the next batch, and never on their own", () => {
  const end = opened(REHOMES);
  for (let count = 0; count < 3; count++) end.node({ type: "Credit", bytes: 1 });
  assert.equal(end.isScheduled, false);
  assert.deepEqual(end.take(), []);
  end.machine.outbound.send(1, 0, "hello");
  assert.deepEqual(end.take()[1], { type: "Handled", begun: 3, done: 3 });
});

test("an adopted session begins its batch, too: what the app does with it may end this process", () => {
  const end = opened(REHOMES);
  const seen = [];
  const { onAdopt } = end.machine.host;
  end.machine.host.onAdopt = (adopt) => {
    seen.push(end.frames.splice(0));
    onAdopt(adopt);
  };
  end.node({ type: "Credit", bytes: 1 });
  end.node(adoptFrame(2), adoptFrame(3), message(1, "a"));
  assert.deepEqual(seen, [[{ type: "Handled", begun: 2, done: 0 }], []], "once, before the first");
  assert.equal(end.isScheduled, true);
  assert.deepEqual(end.take(), [{ type: "Handled", begun: 0, done: 2 }]);
});

const AHEAD = { ...REHOMES, handledAhead: true };
const handled = (begun, done) => ({ type: "Handled", begun, done });

/** A clock that stands still until it is moved. */
function stopClock(t) {
  const clock = { now: 1_000 };
  t.mock.method(performance, "now", () => clock.now);
  return clock;
}

test("what ends a turn begins the next batch if that is here: it needs no word of its own", (t) => {
  stopClock(t);
  const end = opened(AHEAD);
  end.node(message(1, "a"));
  assert.deepEqual(end.take(true), [handled(1, 0), handled(1, 1)]);
  const seen = [];
  end.onMessage = () => seen.push(...end.frames);
  end.node(message(1, "b"));
  assert.deepEqual([seen, end.isScheduled], [[], true]);
  assert.deepEqual(end.take(true), [handled(1, 1)]);
  end.node(message(1, "c"));
  end.node(message(1, "d"));
  assert.deepEqual(end.frames, [handled(1, 0)], "only the next one was begun");
});

test("an app server with time to spare begins nothing ahead, a busy one does", (t) => {
  const clock = stopClock(t);
  const end = opened(AHEAD);
  const turnAfter = (ms) => {
    clock.now += ms;
    end.node(message(1, "a"));
    const sent = end.take();
    assert.ok(sent.length <= 2, "the word that it is begun, if it needs one, and that it is done");
    return sent.at(-1);
  };
  for (let count = 0; count < 15; count++) assert.deepEqual(turnAfter(10), handled(0, 1), String(count));
  for (let count = 0; count < 3; count++) assert.deepEqual(turnAfter(10), handled(1, 1), String(count));
  assert.deepEqual(turnAfter(11), handled(0, 1), "the last word ahead was for this one");
  assert.deepEqual(end.frames, []);
  assert.deepEqual(turnAfter(0), handled(0, 1), "it has to be busy for a while again");
});

test("a batch without messages uses up the word ahead, and nothing is told that is told", (t) => {
  const clock = stopClock(t);
  const end = opened(AHEAD);
  end.node(message(1, "a"));
  end.take(true);
  end.node({ type: "Credit", bytes: 1 });
  assert.deepEqual([end.isScheduled, end.take()], [false, []]);
  clock.now += 20;
  end.node(message(1, "b"));
  assert.deepEqual(end.take(), [handled(1, 0), handled(0, 2)]);
  end.machine.outbound.send(1, 0, "hello");
  assert.deepEqual(types(end.take()), ["Send"]);
});

test("an adopted session in a batch begun ahead still needs its word, once", (t) => {
  stopClock(t);
  const end = opened(AHEAD);
  end.node(message(1, "a"));
  end.take(true);
  const seen = [];
  const { onAdopt } = end.machine.host;
  end.machine.host.onAdopt = (adopt) => {
    seen.push(end.frames.splice(0));
    onAdopt(adopt);
  };
  end.node(message(1, "b"), adoptFrame(2), adoptFrame(3));
  assert.deepEqual(seen, [[handled(0, 0)], []]);
  assert.deepEqual(end.take(), [handled(0, 1)]);
});

test("nothing is begun ahead while what was done waits for credit, nor with a node that does not take it", (t) => {
  stopClock(t);
  const end = opened({ ...AHEAD, credit: 1 });
  end.onMessage = (number, text) => end.machine.outbound.send(number, 0, `re: ${text}`);
  end.node(message(1, "overdraws"));
  end.take(true);
  end.node(message(1, "waits"));
  assert.deepEqual(sum(told(end.take(true), "Handled"), "begun"), 0, "it was begun ahead");
  end.node(message(1, "waits, too"));
  assert.deepEqual(told(end.take(true), "Handled"), [handled(1, 0)]);

  const old = opened(REHOMES);
  old.node(message(1, "a"));
  assert.deepEqual(old.take(true), [handled(1, 0), handled(0, 1)]);
});

test("messages for a session that is over do not begin anything", () => {
  const end = opened(REHOMES);
  end.machine.close(1, 5);
  end.take();
  end.node(message(1, "late"));
  assert.deepEqual(end.take(), []);
});

test("without rehome the node is told with the next batch what was received", () => {
  const end = opened({ resume: true });
  end.onMessage = (number, text) => end.machine.outbound.send(number, 0, text);
  end.node(message(1, "a"), message(1, "b"));
  end.node(message(1, "c"));
  assert.deepEqual(end.frames, [], "nothing leaves early");
  const sent = end.take();
  assert.deepEqual(types(sent), ["Send", "Send", "Send", "Got"]);
  assert.equal(sent[3].batches, 2);
  end.machine.outbound.send(1, 0, "more");
  assert.deepEqual(types(end.take()), ["Send"], "there is nothing to tell");
});

for (const rehomes of [false, true]) {
  const type = rehomes ? "Handled" : "Got";
  test(`${type} leaves alone after 64 batches, after 256 KiB, and when its time has come`, () => {
    const end = opened({ resume: true, rehomes });
    for (let count = 1; count < 64; count++) end.node({ type: "Credit", bytes: 1 });
    assert.deepEqual([end.isScheduled, end.take()], [false, []]);
    end.node({ type: "Credit", bytes: 1 });
    assert.equal(end.isScheduled, true);
    assert.deepEqual(end.take(), [rehomes ? { type, begun: 64, done: 64 } : { type, batches: 64 }]);
    end.node({ type: "Relayed", from: "x", payload: Buffer.alloc(256 * 1024) });
    assert.deepEqual(types(end.take()), [type]);
    end.node({ type: "Credit", bytes: 1 });
    assert.deepEqual([end.take(), end.machine.receipts.hasUntold], [[], true]);
    end.machine.receipts.tell();
    assert.equal(end.isScheduled, true);
    assert.deepEqual(types(end.take()), [type]);
    assert.equal(end.machine.receipts.hasUntold, false);
  });
}

for (const [what, options] of [
  ["does not resume trunks", { resume: false }],
  ["does not know the frames", { resume: true, rehomes: true, frames: ["Number"] }],
]) {
  test(`a node that ${what} is told nothing`, () => {
    const end = opened(options);
    end.onMessage = (number, text) => end.machine.outbound.send(number, 0, text);
    for (let count = 0; count < 100; count++) end.node(message(1, "a"));
    assert.equal(end.machine.receipts.hasUntold, false);
    end.machine.receipts.tell();
    assert.deepEqual(new Set(types(end.take())), new Set(["Send"]));
  });
}

test("a Got for more batches than were sent is an error", () => {
  const end = opened({ resume: true });
  end.node({ type: "Got", batches: end.batches.length });
  assert.deepEqual(end.heard(), []);
  end.node({ type: "Got", batches: end.batches.length + 1 });
  assert.deepEqual(end.heard()[0].slice(0, 2), ["end", 1]);
});

for (const [type, options] of [
  ["Got", { io: {} }],
  ["Handled", REHOMES_APP],
]) {
  test(`${type} comes within a second, however long the ping interval and however quiet the app`, {
    timeout: 20_000,
  }, async (t) => {
    const info = JSON.parse(HOMES.welcome.info);
    info.resume = { trunk: "secret", ms: 2_000 };
    const node = { welcome: { pingIntervalMs: 600_000, info: JSON.stringify(info) } };
    const { trunk } = await startApp(t, { ...options, node });
    await trunk.settle();
    const told = () => trunk.gots.length + trunk.frames.filter((frame) => frame.type === "Handled").length;
    for (let round = 0; round < 2; round++) {
      const before = told();
      trunk.send({ type: "Credit", bytes: 1 });
      await until(() => told() > before);
    }
  });
}
