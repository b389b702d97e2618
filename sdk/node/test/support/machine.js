import { parseInfo } from "../../dist/esm/trunk/info.js";
import { Machine } from "../../dist/esm/trunk/machine.js";
import { encodeBatch, framesOf } from "../../../../testing/trunk_batch.mjs";

export const ALL_FRAMES = ["Number", "Reattach", "Prove", "GiveBack", "Got", "Handled", "State", "Standing"];

/**
 * One end of a trunk without stream and clock. What it sends is in `batches` and `frames`; `turn()` ends its turn of
 * the event loop, and `node(...)` is one batch of the node.
 */
export class MachineUnderTest {
  /** What the host was told: `[name, value]`. */
  told = [];
  batches = [];
  frames = [];
  sessions = new Map();
  /** Whether the machine has asked for an end of the turn. */
  isScheduled = false;
  counters = { messagesSent: 0, bytesSent: 0, messagesReceived: 0, bytesReceived: 0, broadcasts: 0 };

  /** @param options.resume whether the node resumes trunks; @param options.rehomes whether sessions change app servers */
  constructor({ frames = ALL_FRAMES, credit = 1 << 20, resume = false, rehomes = false, handledAhead = false } = {}) {
    const tell =
      (name) =>
      (...values) =>
        this.told.push([name, ...values]);
    this.machine = new Machine(
      {
        schedule: () => (this.isScheduled = true),
        transmit: (batch) => {
          const frames = framesOf(Buffer.from(batch));
          this.batches.push(frames);
          this.frames.push(...frames);
          this.machine.outbound.recycle(batch);
        },
        onHang: tell("hang"),
        onUnsent: tell("unsent"),
        onOpen: (open) => this.begin("open", open),
        onAdopt: (adopt) => this.begin("adopt", adopt),
        onRequest: tell("request"),
        onPeers: tell("peers"),
        onRelayed: tell("relayed"),
        onDrain: tell("drain"),
        onGot: (batches) => batches <= this.batches.length,
        onEnd: ({ code, message }) => this.told.push(["end", code, message]),
        onThrown: (error) => {
          throw error;
        },
        onFlushed: (callback) => callback(),
      },
      this.counters,
    );
    const info = JSON.stringify({
      node: "n",
      version: "0",
      frames,
      handledAhead,
      ...(resume && { resume: { trunk: "secret", ms: 2000 } }),
    });
    this.machine.start(
      { version: 1, credit, pingIntervalMs: 1000, batchBytesMax: 1 << 20, info },
      parseInfo(info),
      rehomes,
    );
    this.take();
  }

  begin(name, frame) {
    this.told.push([name, frame]);
    const told = (kind) => (value) => this.told.push([kind, frame.session, value]);
    const session = {
      accepted: false,
      handleMessage: (data) => {
        this.told.push(["message", frame.session, data]);
        this.onMessage?.(frame.session, data);
      },
      handleUpgraded: told("upgraded"),
      handleMarked: told("marked"),
      handleClose: told("closed"),
      handleLeave: told("leave"),
      handleMove: told("move"),
      handleTrunkLost: told("lost"),
    };
    this.sessions.set(frame.session, session);
    this.machine.register(frame.session, session);
  }

  accept(number) {
    const session = this.sessions.get(number);
    session.accepted = true;
    this.machine.accept(number, session, "", [], []);
  }

  /** One batch of the node. */
  node(...frames) {
    this.machine.handleBatch(encodeBatch(frames));
  }

  turn(hasNext = false) {
    this.isScheduled = false;
    this.machine.flush(hasNext);
  }

  /** The frames sent since the last call; ends the turn. @param hasNext whether the node's next batch is here already */
  take(hasNext) {
    this.turn(hasNext);
    return this.frames.splice(0);
  }

  /** What the host was told since the last call. */
  heard() {
    return this.told.splice(0);
  }
}

export const message = (session, text) => ({ type: "Message", session, flags: 0, payload: Buffer.from(text) });
export const close = (session, reason) => ({ type: "Close", session, reason, description: "" });
/** Lets what was put off to the end of the turn happen. */
export const putOff = () => new Promise(setImmediate);
