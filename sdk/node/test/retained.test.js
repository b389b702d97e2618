// Batches that are kept until the node has confirmed them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Retained, RETAINED_BYTES_MAX } from "../dist/esm/trunk/retained.js";

function setUp() {
  const recycled = [];
  const retained = new Retained((batch) => recycled.push(batch));
  const large = (fill, bytes = 8 * 1024) => {
    const batch = Buffer.allocUnsafeSlow(bytes).fill(fill);
    assert.equal(retained.keep(batch), false);
    return batch;
  };
  return { retained, recycled, large };
}

const fills = (missing) => missing.map((batch) => batch[0]);

test("batches that the other end has not received are given out in order, as often as it takes", () => {
  const { retained, large } = setUp();
  for (let fill = 1; fill <= 5; fill++) large(fill);
  assert.equal(retained.confirm(2), true);
  for (const received of [2, 3, 3]) {
    const missing = retained.after(received);
    assert.deepEqual(fills(missing), [1, 2, 3, 4, 5].slice(received));
  }
  large(6);
  assert.deepEqual(fills(retained.after(5)), [6]);
  assert.deepEqual(retained.after(6), []);
});

test("more than was sent, or less than was confirmed, is never guessed at", () => {
  const { retained, large } = setUp();
  for (let fill = 1; fill <= 5; fill++) large(fill);
  retained.confirm(3);
  for (const received of [2, 0, -1, 6]) assert.equal(retained.after(received), undefined);
  assert.equal(retained.confirm(6), false);
  assert.deepEqual(fills(retained.after(3)), [4, 5]);
});

test("a buffer goes back when it is confirmed, and not before", () => {
  const { retained, recycled, large } = setUp();
  const [one, two] = [large(1), large(2)];
  assert.deepEqual(recycled, []);
  retained.confirm(1);
  assert.deepEqual(recycled, [one]);
  retained.confirm(1);
  retained.confirm(2);
  assert.deepEqual(recycled, [one, two]);
});

test("a short batch is copied, so that its buffer is free at once", () => {
  const { retained } = setUp();
  for (const [bytes, capacity] of [
    [100, 4096],
    [10_000, 256 * 1024],
  ]) {
    const batch = Buffer.allocUnsafeSlow(capacity).fill(7).subarray(0, bytes);
    assert.equal(retained.keep(batch), true);
    batch.fill(9);
    const copy = retained.after(retained.sent - 1)[0];
    assert.deepEqual([copy.length, copy[0]], [bytes, 7]);
  }
});

test("beyond 16 MiB everything is forgotten, and it is whole again once all that is confirmed", () => {
  const { retained, recycled, large } = setUp();
  const part = RETAINED_BYTES_MAX / 4;
  for (let fill = 1; fill <= 4; fill++) large(fill, part);
  assert.equal(retained.isWhole, true);
  large(5, part);
  assert.deepEqual([retained.isWhole, retained.after(4)], [false, undefined]);
  large(6);
  retained.confirm(4);
  assert.deepEqual([retained.isWhole, retained.after(4)], [false, undefined]);
  retained.confirm(5);
  assert.equal(retained.isWhole, true);
  assert.deepEqual(fills(retained.after(5)), [6]);
  assert.deepEqual(recycled, []);
});

test("what is kept is bounded although little is confirmed, over any number of batches", () => {
  const { retained } = setUp();
  for (let round = 0; round < 5_000; round++) {
    retained.keep(Buffer.alloc(3_000, round));
    if (round % 3 === 0) retained.confirm(Math.max(0, retained.sent - 50));
    if (round > 100) {
      const batches = retained.after(retained.sent - 10);
      assert.deepEqual(
        batches.map((batch) => batch[0]),
        Array.from({ length: 10 }, (_, index) => (round - 9 + index) % 256),
      );
    }
  }
});
