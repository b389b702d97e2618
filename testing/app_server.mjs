// An app server that speaks the trunk protocol (spec/trunk.md) and does only what a test asks of it; it contains no
// Socket.IO.
import { randomBytes } from "node:crypto";
import { OPCODE, closeCodeOf } from "./frames.mjs";
import { DEVELOPMENT_KEY, trunkToken } from "./token.mjs";
import { CloseReason, encodeBatch, framesOf, costOf, send } from "./trunk_batch.mjs";
import { until } from "./wait.mjs";
import { WebSocketClient } from "./websocket.mjs";

const TRUNK_PATH = "/trunk/v1";
/** A close code that is never sent: the stream ended without a close frame (RFC 6455, section 7.1.5). */
const ABNORMAL = 1006;
/** The number of bytes of a message's beginning that are kept. */
const HEAD_BYTES = 32;

/** The WebSocket under a trunk: its messages are batches; pings and the close frame are answered. */
class TrunkSocket extends WebSocketClient {
  #isLeaving = false;

  constructor(port, token, onBatch) {
    super(port, TRUNK_PATH, { headers: { authorization: `Bearer ${token}` } });
    this.onBatch = onBatch;
  }
  receiveMessage({ payload }) {
    this.onBatch(payload);
  }
  receiveControl({ opcode, payload }) {
    if (opcode === OPCODE.ping) this.frame({ opcode: OPCODE.pong, payload });
    if (opcode === OPCODE.close) {
      if (!this.#isLeaving) this.frame({ opcode: OPCODE.close, payload });
      // Both sides have sent their close frame: as the package `ws` does, this side ends the stream at once.
      this.stream.finish();
    }
  }
  leave() {
    this.#isLeaving = true;
    this.close();
  }
}

export class BareAppServer {
  /** The frames from the node, in order; of a message only its length and beginning. */
  frames = [];
  opens = [];
  requests = [];
  /** The node's messages that broke the rule of credit. */
  violations = 0;
  /** Bytes that the node may still send. */
  granted = 0;
  /** Bytes that the node still accepts. */
  room = 0;
  /** How the trunk ended: `code`, `reason`, `error`; undefined while it is up. */
  ended = undefined;
  /** How the stream broke, while a resumable trunk has none. */
  broken = undefined;
  /** Batches of the node, without the one with `Welcome`. */
  received = 0;
  #hello;
  #token;
  #isWelcome = false;
  /** Every batch of a resumable trunk: tests are short. */
  #kept = [];
  #messages = new Map();
  #closing = new Set();
  #used = new Set();

  /**
   * Opens a trunk, sends `Hello` and waits for `Welcome`. `accepts`: answers `Open` with `Accept`. `echoes`: sends each
   * message back. `refuses`: answers a request that opens no session with 400. `returns`: returns credit for every
   * message; otherwise only `grant` does. `resumable`: the trunk outlives its stream, see `resumeTrunk`; `direct`:
   * the node is told this end's address, by which it sees that nothing is between.
   */
  static async connect(node, options = {}) {
    const app = new BareAppServer(node, options);
    await until("Welcome", () => {
      if (app.ended) throw new Error(`the trunk ended: ${JSON.stringify(app.ended)}`);
      return app.welcome;
    });
    return app;
  }

  constructor(node, options) {
    const {
      hub = "default",
      key = DEVELOPMENT_KEY,
      credit = 1 << 24,
      settings = {},
      server = randomBytes(12).toString("base64url"),
    } = options;
    this.options = { accepts: true, echoes: false, returns: true, ...options };
    this.server = server;
    this.granted = credit;
    this.#hello = { type: "Hello", versionMin: 1, versionMax: 1, credit, server, sdk: "bare/1" };
    this.#token = () => trunkToken({ key, hub });
    this.#open(node.port, this.options.resumable ? { ...settings, resumable: true } : settings);
  }

  #open(port, settings) {
    const socket = new TrunkSocket(port, this.#token(), (batch) => this.#receive(batch));
    this.socket = socket;
    this.#isWelcome = false;
    this.broken = undefined;
    void socket.answered.then(() => {
      if (socket.status !== 101) return socket.destroy();
      const from = this.options.direct ? { from: `127.0.0.1:${socket.socket.localPort}` } : {};
      socket.binary(encodeBatch([{ ...this.#hello, settings: JSON.stringify({ ...settings, ...from }) }]));
    });
    void socket.stream.closing.then(() => {
      if (this.socket !== socket) return;
      const { closePayload, status, error } = socket;
      const refusal = status === 101 ? undefined : `answered with ${status}`;
      const code = closePayload === undefined ? ABNORMAL : closeCodeOf(closePayload);
      this.broken = { code, reason: String(closePayload?.subarray(2) ?? ""), error: error ?? refusal };
      if (!this.options.resumable || code !== ABNORMAL) this.ended = this.broken;
    });
  }

  /** Continues the trunk on a new stream; resolves to whether the node agreed. */
  async resumeTrunk(port) {
    const before = this.socket;
    const { trunk } = JSON.parse(this.welcome.info).resume;
    this.welcome = undefined;
    this.#open(port, { ...this.options.settings, resumable: true, resume: { trunk, received: this.received } });
    before.destroy();
    await until("Welcome or the end of the new stream", () => this.welcome ?? this.broken);
    return this.welcome !== undefined && this.#isWelcome;
  }

  /** Handles the first batch of a stream. */
  #welcomed(batch) {
    const [welcome] = framesOf(batch);
    const { resumed } = JSON.parse(welcome.type === "Welcome" ? welcome.info : "{}");
    this.#isWelcome = this.received === 0 || resumed !== undefined;
    if (resumed === undefined) return;
    for (const kept of this.#kept.slice(resumed.received)) this.socket.binary(kept);
  }

  #receive(batch) {
    if (this.welcome === undefined) this.#welcomed(batch);
    else this.received += 1;
    for (const frame of framesOf(batch)) {
      this.#answer(frame);
      if (frame.type === "Message") this.#message(frame);
      else this.frames.push(frame);
    }
  }

  #message(message) {
    const { session, payload } = message;
    const cost = costOf(message);
    if (this.granted <= 0) this.violations += 1;
    this.granted -= cost;
    // A copy of the beginning, so that the batch itself is not kept.
    const note = { length: payload.length, head: payload.toString("latin1", 0, HEAD_BYTES) };
    this.frames.push({ type: "Message", session, ...note });
    this.messages(session).push(note);
    if (this.options.returns) this.grant(cost);
    if (this.options.echoes) this.send(send(session, payload.toString()));
  }

  #answer(frame) {
    const { type, session } = frame;
    if (type === "Welcome") {
      if (this.welcome === undefined && this.received === 0) this.room = frame.credit;
      this.welcome = frame;
    } else if (type === "Credit") {
      this.room += frame.bytes;
    } else if (type === "Ping") {
      this.send({ type: "Pong", token: frame.token });
    } else if (type === "Open") {
      this.opens.push(frame);
      this.#forget(session);
      if (this.options.accepts) this.accept(session);
    } else if (type === "Request") {
      this.requests.push(frame);
      if (this.options.refuses) this.respond(frame.requestId, 400, `refused with ${frame.code}`);
    } else if (type === "Close" && !this.#closing.delete(session)) {
      this.send({ type: "Close", session, reason: frame.reason, description: "" });
    }
  }

  /** Forgets the earlier session with this number. */
  #forget(session) {
    this.#messages.delete(session);
    if (this.#used.has(session)) this.frames = this.frames.filter((frame) => frame.session !== session);
    this.#used.add(session);
  }

  /** Sends frames as one batch. */
  send(...frames) {
    for (const { type, payload } of frames) if (type === "Send") this.room -= payload.length + 2;
    this.raw(encodeBatch(frames));
  }
  /** Like `send`, once the node's credit allows it. */
  async sendWithin(...frames) {
    await until("credit of the node", () => this.room > 0, { everyMs: 1 });
    if (this.ended) throw new Error(`the trunk ended: ${JSON.stringify([this.ended, this.of("Error")])}`);
    this.send(...frames);
  }
  /** Sends bytes as a batch, while the trunk is up. */
  raw(bytes) {
    if (this.options.resumable) this.#kept.push(bytes);
    if (!this.#isWelcome && this.options.resumable) return;
    if (this.socket.status === 101 && this.socket.closeCode === undefined && !this.socket.ended)
      this.socket.binary(bytes);
  }
  /** Bytes that were sent and that the kernel has not accepted yet. */
  get unsentBytes() {
    return this.socket.unsentBytes;
  }

  accept(session, sid = "") {
    this.send({ type: "Accept", session, sid, headers: [], lasting: [] });
  }
  close(session, reason = CloseReason.forcedClose) {
    this.#closing.add(session);
    this.send({ type: "Close", session, reason, description: "" });
  }
  respond(requestId, status, body = "") {
    this.send({ type: "Response", requestId, response: { status, headers: [], body: Buffer.from(body) } });
  }
  grant(bytes) {
    this.granted += bytes;
    this.send({ type: "Credit", bytes });
  }

  /** The beginnings of a session's messages so far. */
  messages(session) {
    if (!this.#messages.has(session)) this.#messages.set(session, []);
    return this.#messages.get(session);
  }
  /** The frames of this type so far, those of one session if it is given. */
  of(type, session) {
    return this.frames.filter((frame) => frame.type === type && (session === undefined || frame.session === session));
  }
  /** The first frame of this type for this session; waits for it. */
  async heard(type, session, options) {
    return until(`${type} for session ${session}`, () => this.of(type, session)[0], options);
  }
  /** Waits until the node has read everything that was sent so far. */
  async ping(token = randomBytes(8)) {
    this.send({ type: "Ping", token });
    const answered = () => this.ended || this.of("Pong").some((pong) => token.equals(pong.token));
    await until("Pong", answered);
  }

  /** Stops reading, so that the node's writer will block. */
  pause() {
    this.socket.pause();
  }
  resume() {
    this.socket.resume();
  }
  /** Closes the trunk with a close frame. */
  leave() {
    this.socket.leave();
  }
  /** Breaks the stream, as `kill -9` does. */
  kill() {
    this.socket.destroy();
  }
  /** Breaks the stream as `kill -9` does when there are unread bytes. */
  reset() {
    this.socket.socket.resetAndDestroy();
  }
}
