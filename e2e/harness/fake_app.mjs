// An app server that speaks the trunk protocol (spec/trunk.md) and does only what the test says: no
// Socket.IO, no manners.
import { randomBytes } from "node:crypto";
import WebSocket from "ws";
import { decodeBatch } from "../../sdk/node/dist/esm/trunk/decode.js";
import { encodeFrame } from "../../sdk/node/dist/esm/trunk/encode.js";
import { CloseReason, SendFlag } from "../../sdk/node/dist/esm/trunk/frames.js";
import { Reader } from "../../sdk/node/dist/esm/trunk/reader.js";
import { Writer } from "../../sdk/node/dist/esm/trunk/writer.js";
import { until } from "./until.mjs";
import { trunkToken } from "./wire.mjs";

export { CloseReason, SendFlag };
/** Of `trunkline dev`. */
export const KEY = "trunkline-development-key-do-not-use-in-production";

/** One batch of the protocol. */
export function batch(frames) {
  const writer = new Writer();
  for (const frame of frames) encodeFrame(writer, frame);
  return Buffer.from(writer.take());
}

/** `Send` of a text, or of bytes. */
export const send = (session, payload, flags = 0) => ({
  type: "Send",
  session,
  flags: flags | (typeof payload === "string" ? 0 : SendFlag.binary),
  payload: Buffer.from(payload),
});

export class FakeApp {
  /** What the node sent, in order; of a message only its length and beginning. */
  frames = [];
  opens = [];
  requests = [];
  /** Messages of the node that broke the rule of credit. */
  violations = 0;
  /** Bytes that the node may still send. */
  granted = 0;
  /** Bytes that the node takes still. */
  room = 0;
  /** How the trunk ended; undefined while it is up. */
  ended = undefined;
  #messages = new Map();
  #closing = new Set();
  #used = new Set();

  /**
   * Opens a trunk and says `Hello`. `accepts`: answers `Open` with `Accept`. `echoes`: answers a message with the same.
   * `refuses`: answers a request that opens no session with 400. `returns`: gives credit back for every message; else only `grant` does.
   */
  static async connect(node, options = {}) {
    const app = new FakeApp(node, options);
    await until("Welcome", () => {
      if (app.ended) throw new Error(`the trunk ended: ${JSON.stringify(app.ended)}`);
      return app.welcome;
    });
    return app;
  }

  constructor(node, options) {
    const { hub = "default", key = KEY, credit = 1 << 24, settings = {}, server = randomBytes(12).toString("base64url") } = options;
    this.options = { accepts: true, echoes: false, returns: true, ...options };
    this.server = server;
    this.granted = credit;
    this.ws = new WebSocket(`ws://127.0.0.1:${node.port}/trunk/v1`, {
      headers: { Authorization: `Bearer ${trunkToken({ key, hub })}` },
      perMessageDeflate: false,
      maxPayload: 1 << 28,
    });
    this.ws.on("error", (error) => (this.error = error.message));
    this.ws.on("close", (code, reason) => (this.ended = { code, reason: String(reason), error: this.error }));
    this.ws.on("message", (data) => this.#hear(data));
    this.ws.on("open", () =>
      this.send({ type: "Hello", versionMin: 1, versionMax: 1, credit, server, sdk: "fake/1", settings: JSON.stringify(settings) }),
    );
  }

  #hear(data) {
    for (const frame of decodeBatch(new Reader(data))) {
      this.#answer(frame);
      if (frame.type === "Message") this.#message(frame);
      else this.frames.push(frame);
    }
  }

  #message({ session, payload }) {
    const cost = Buffer.byteLength(payload) + 1 + varintBytes(session);
    if (this.granted <= 0) this.violations += 1;
    this.granted -= cost;
    // A copy of the beginning: the batch itself is not kept.
    const note = { length: payload.length, head: payload.toString("latin1", 0, 32) };
    this.frames.push({ type: "Message", session, ...note });
    this.messages(session).push(note);
    if (this.options.returns) this.grant(cost);
    if (this.options.echoes) this.send(send(session, payload.toString()));
  }

  #answer(frame) {
    const { type, session } = frame;
    if (type === "Welcome") {
      this.welcome = frame;
      this.room = frame.credit;
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

  /** What is known of the session that had this number before. */
  #forget(session) {
    this.#messages.delete(session);
    if (this.#used.has(session)) this.frames = this.frames.filter((frame) => frame.session !== session);
    this.#used.add(session);
  }

  /** Sends frames as one batch. */
  send(...frames) {
    for (const { type, payload } of frames) if (type === "Send") this.room -= payload.length + 2;
    this.raw(batch(frames));
  }
  /** The same, once the node's credit allows it. */
  async sendWithin(...frames) {
    await until("credit of the node", () => this.room > 0, { everyMs: 1 });
    if (this.ended) throw new Error(`the trunk ended: ${JSON.stringify([this.ended, this.of("Error")])}`);
    this.send(...frames);
  }
  raw(bytes) {
    if (this.ws.readyState === WebSocket.OPEN) this.ws.send(bytes);
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
  of(type, session) {
    return this.frames.filter((frame) => frame.type === type && (session === undefined || frame.session === session));
  }
  /** The first frame of this type for this session; waits for it. */
  async heard(type, session, options) {
    return until(`${type} for session ${session}`, () => this.of(type, session)[0], options);
  }
  /** Until the node has read all that was sent so far. */
  async ping(token = randomBytes(8)) {
    this.send({ type: "Ping", token });
    const answered = () => this.ended || this.of("Pong").some((pong) => token.equals(pong.token));
    await until("Pong", answered);
  }

  /** Stops reading: the node's writer will block. */
  pause() {
    this.ws.pause();
  }
  resume() {
    this.ws.resume();
  }
  /** As `kill -9` does. */
  kill() {
    this.ws.terminate();
  }
}

function varintBytes(value) {
  return value < 0x80 ? 1 : 1 + varintBytes(Math.floor(value / 0x80));
}
