import assert from "node:assert/strict";
import { Trunk } from "../../dist/esm/trunk/trunk.js";
import { encodeBatch, framesOf } from "../../../../testing/trunk_batch.mjs";

/** Numbers from a seed: the same play each time (mulberry32). */
export function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const FRAMES = ["Got", "Handled", "State", "Standing", "Number"];

/**
 * A stream of bytes in both directions that a test moves on, and breaks after any byte. Each end may notice the break
 * at a time of its own.
 */
export class ModelWire {
  from = "127.0.0.1:4000";
  /** Batches on their way to the node: bytes that have left the app server's memory are copied. */
  out = [];
  outBytes = 0;
  in = [];
  inBytes = 0;
  isOpen = false;
  /** Whether each end still takes the stream for whole. */
  app = true;
  node = true;

  constructor(owner, handlers) {
    this.owner = owner;
    this.handlers = handlers;
  }

  open() {
    this.isOpen = true;
    this.handlers.onOpen();
  }

  send(batch, sent) {
    assert.ok(this.app, "a stream that has ended is not used");
    this.out.push({ batch, sent, length: batch.length });
  }

  close() {
    this.breakFor("app");
    this.breakFor("node");
  }

  terminate() {
    this.close();
  }

  /** The app server's kernel takes the oldest batches. */
  take(count) {
    for (const entry of this.out) {
      if (count === 0) return;
      if (entry.copy !== undefined) continue;
      entry.copy = Buffer.from(entry.batch);
      entry.sent();
      count--;
    }
  }

  /** This many more bytes reach the node. */
  toNode(bytes) {
    this.outBytes += bytes;
    while (this.node && this.out.length > 0 && this.out[0].length <= this.outBytes) {
      if (this.out[0].copy === undefined) this.take(1);
      const { copy, length } = this.out.shift();
      this.outBytes -= length;
      this.owner.handle(this, copy);
    }
  }

  toApp(bytes) {
    this.inBytes += bytes;
    while (this.app && this.in.length > 0 && this.in[0].length <= this.inBytes) {
      const batch = this.in.shift();
      this.inBytes -= batch.length;
      this.handlers.onBatch(batch);
    }
  }

  breakFor(end) {
    if (!this[end]) return;
    this[end] = false;
    if (end === "node") return this.owner.handleBreak(this);
    this.handlers.onClose(1006, "", undefined);
    const waiting = this.out.filter(({ copy }) => copy === undefined);
    this.out = this.out.filter(({ copy }) => copy !== undefined);
    setImmediate(() => waiting.forEach(({ sent }) => sent()));
  }
}

/** A node with one trunk, which it keeps without a stream for as long as it likes. */
export class ModelNode {
  wires = [];
  wire;
  /** Batches after `Hello`, and those after `Welcome`. */
  received = 0;
  sent = [];
  confirmed = 0;
  begun = 0;
  done = 0;
  /** How many of those that are begun were begun ahead. */
  ahead = 0;
  /** What the app server said, as numbers; how much it may still say, and the batches that it was not told of. */
  said = [];
  credit = 3_000;
  due = 0;
  unconfirmed = 0;
  resumptions = 0;

  /** What came as `Settings`. */
  settings = [];
  /** Whether it takes each app server for a new one. */
  forgets = false;
  /** What comes with `Welcome` in one batch, besides. */
  beside = [];

  /**
   * @param options.windowMs how long the node says that it waits
   * @param options.takesAhead whether batches may be begun before they have come
   */
  constructor({ windowMs = 2 ** 30, pingIntervalMs = 2 ** 30, takesAhead = false } = {}) {
    this.takesAhead = takesAhead;
    this.windowMs = windowMs;
    this.pingIntervalMs = pingIntervalMs;
  }

  openWire = (_url, _token, _tls, handlers) => {
    const wire = new ModelWire(this, handlers);
    this.wires.push(wire);
    return wire;
  };

  handle(wire, batch) {
    const frames = framesOf(batch);
    if (frames[0].type === "Hello") return this.#hello(wire, frames[0]);
    assert.equal(wire, this.wire, "only the last stream counts");
    this.received++;
    this.unconfirmed++;
    for (const frame of frames) this.#frame(frame);
  }

  #hello(wire, { settings, credit }) {
    assert.ok(credit > 0);
    const { resume } = JSON.parse(settings);
    const info = { node: "n", version: "0", frames: FRAMES, resume: { trunk: "secret", ms: this.windowMs } };
    if (this.takesAhead) info.handledAhead = true;
    // An app server that never read the first Welcome opens another trunk.
    if (resume === undefined || this.forgets) {
      assert.ok(!this.isHeard || this.forgets, "a trunk that was up is continued");
      Object.assign(this, { received: 0, sent: [], confirmed: 0, begun: 0, done: 0, ahead: 0, unconfirmed: 0 });
    } else {
      assert.equal(resume.trunk, "secret");
      assert.ok(resume.received >= this.confirmed && resume.received <= this.sent.length);
      this.resumptions++;
      info.resumed = { received: this.received };
    }
    // The former stream is dropped with whatever was unread there.
    const former = this.wire;
    this.wire = wire;
    if (former !== undefined) former.node = false;
    const limits = { version: 1, credit: 3_000, pingIntervalMs: this.pingIntervalMs, batchBytesMax: 1 << 20 };
    wire.in.push(encodeBatch([{ type: "Welcome", ...limits, info: JSON.stringify(info) }, ...this.beside]));
    const missing = info.resumed === undefined ? [] : this.sent.slice(resume.received);
    for (const batch of missing) wire.in.push(batch);
  }

  handleBreak(wire) {
    if (this.wire === wire) this.wire = undefined;
  }

  #frame(frame) {
    this.isHeard = true;
    if (frame.type === "Send") {
      const cost = frame.payload.length + 2;
      assert.ok(this.credit > 0, "nothing comes without credit");
      this.credit -= cost;
      this.due += cost;
      this.said.push(Number(frame.payload.toString().split(" ")[0]));
    } else if (frame.type === "Settings") this.settings.push(frame.settings);
    else if (frame.type === "Got") this.confirmed += frame.batches;
    else if (frame.type === "Handled") {
      this.begun += frame.begun;
      this.done += frame.done;
      assert.ok(this.done <= this.begun && this.done <= this.sent.length);
      if (frame.done === 0) this.ahead = 0;
      else if (frame.begun > 0) this.ahead = this.begun - this.done;
      assert.ok(this.ahead <= (this.takesAhead ? 1 : 0), "at most one batch is begun ahead");
      this.confirmed = this.begun - this.ahead;
    }
    assert.ok(this.confirmed <= this.sent.length, "no batch is confirmed that was never sent");
  }

  /** How many batches are begun, as far as that has left the app server. */
  get saidBegun() {
    const underWay = this.wires.at(-1).out.flatMap(({ batch, copy }) => framesOf(copy ?? batch));
    return underWay.reduce((sum, frame) => sum + (frame.type === "Handled" ? frame.begun : 0), this.begun);
  }

  /** Sends frames as one batch, now or on the next stream. */
  send(...frames) {
    const batch = encodeBatch(frames);
    this.sent.push(batch);
    if (this.wire?.node) this.wire.in.push(batch);
  }

  giveCredit() {
    if (this.due === 0) return;
    this.send({ type: "Credit", bytes: this.due });
    this.credit += this.due;
    this.due = 0;
  }

  confirm() {
    if (this.unconfirmed === 0) return;
    const batches = this.unconfirmed;
    this.unconfirmed = 0;
    this.send({ type: "Got", batches });
  }
}

/** A trunk to a model node, with counters of its own. @param host what its owner does that matters */
export function trunkTo(node, host = {}, { rehome = false } = {}) {
  const counters = { messagesSent: 0, bytesSent: 0, messagesReceived: 0, bytesReceived: 0, broadcasts: 0 };
  Object.assign(counters, { reconnects: 0, resumed: 0, broadcastsDropped: 0, unsent: 0 });
  const names = { hub: "h", key: () => "k", server: "s", sdk: "sdk" };
  const config = { url: new URL("ws://node.example/trunk/v1"), ...names, everyRequest: false, rehome };
  const never = (name) => () => assert.fail(`${name} was not expected`);
  const ignore = () => undefined;
  const trunk = new Trunk(
    { ...config, openWire: node.openWire },
    {
      settings: () => ({}),
      nextBroadcast: () => 1,
      opening: () => ({ opening: 1, beside: [] }),
      wayBack: () => config.url,
      spareDelayMs: ignore,
      onNodes: ignore,
      onUp: ignore,
      onDown: ignore,
      onRetry: ignore,
      givesUp: () => false,
      onFinal: never("a final error"),
      onWarning: never("a warning"),
      onTick: ignore,
      onTurnEnd: ignore,
      onOpen: never("Open"),
      onAdopt: never("Adopt"),
      onRequest: never("Request"),
      onPeers: ignore,
      onRelayed: never("Relayed"),
      ...host,
    },
    counters,
  );
  return { trunk, counters };
}
