// A TCP stream to a server: it writes exactly what it is given, and keeps what arrives.
import { connect } from "node:net";
import { parseResponse, parseResponses, requestHead } from "./http.mjs";
import { within } from "./wait.mjs";

/** How long an answer may take; a held poll is answered late, with a ping. */
const ANSWER_MS = 60_000;

export class RawStream {
  /** Bytes that arrived and are not part of an expected answer. */
  received = Buffer.alloc(0);
  /** Whether the server has ended its side; a reset counts as an end. */
  ended = false;
  /** The code of the error that broke the stream, such as `ECONNRESET`. */
  error = undefined;
  /** Called with each chunk; if set, chunks are not kept. */
  onBytes = undefined;
  /** Requests without an answer yet, oldest first. */
  #waiting = [];

  /**
   * `allowHalfOpen`: the server's end does not end this side. `host` is the value of that header. `localAddress`: where
   * the stream comes from; on Linux any 127.x.y.z will do.
   */
  constructor(port, { allowHalfOpen = false, host = `127.0.0.1:${port}`, answerMs = ANSWER_MS, localAddress } = {}) {
    this.host = host;
    this.answerMs = answerMs;
    this.socket = connect({ port, host: "127.0.0.1", allowHalfOpen, noDelay: true, localAddress });
    this.socket.on("error", ({ code }) => (this.error = code));
    this.socket.on("data", (chunk) => this.#read(chunk));
    this.end = new Promise((done) => {
      this.socket.once("close", done);
      if (!allowHalfOpen) this.socket.once("end", done);
    }).then(() => this.#finish());
    this.closing = new Promise((done) => this.socket.once("close", done));
  }

  /** Opens a stream and waits until it is connected. */
  static open(port, options) {
    const stream = new RawStream(port, options);
    return new Promise((done, fail) => {
      stream.socket.once("connect", () => done(stream)).once("error", fail);
    });
  }

  write(bytes) {
    this.socket.write(bytes);
    return this;
  }

  /** Sends a whole request. Resolves with its answer, or with undefined when the stream ends without one. */
  request(method, path, { headers = {}, body } = {}) {
    const answer = this.answer(method);
    const length = body === undefined ? {} : { "content-length": Buffer.byteLength(body) };
    this.write(requestHead(method, path, { host: this.host, ...length, ...headers }));
    if (body !== undefined) this.write(body);
    return answer;
  }

  /** The next answer on this stream, for a request with this method. */
  answer(method = "GET") {
    const answer = within(`an answer to ${method}`, new Promise((done) => this.expect(method, done)), this.answerMs);
    answer.catch(() => {}); // Reported where it is awaited.
    return answer;
  }

  /** Calls `settle` with the next answer, or with undefined at the end of the stream. */
  expect(method, settle) {
    this.#waiting.push({ method, settle });
    if (this.ended) setImmediate(() => this.#answerWaiting());
  }

  /** Bytes that were written and that the kernel has not accepted yet. */
  get unsentBytes() {
    return this.socket.writableLength;
  }

  /** The bytes that arrived and were not taken, as text. */
  get text() {
    return this.received.toString("latin1");
  }
  /** The status of the first answer in `received`, once its first line has arrived; 0 before. */
  get status() {
    return Number(/^HTTP\/1\.1 (\d{3})/.exec(this.received.toString("latin1", 0, 12))?.[1] ?? 0);
  }
  /** The complete answers in `received`. */
  get responses() {
    return parseResponses(this.received, { ended: this.ended });
  }

  /** Waits until the stream is closed. */
  async closed(withinMs) {
    await within("the end of the stream", this.closing, withinMs);
    return this;
  }

  pause() {
    this.socket.pause();
  }
  resume() {
    this.socket.resume();
  }
  /** Ends this side of the stream. */
  finish() {
    this.socket.end();
  }
  reset() {
    this.socket.resetAndDestroy();
  }
  destroy() {
    this.socket.destroy();
  }

  #read(chunk) {
    if (this.onBytes) return this.onBytes(chunk);
    this.received = this.received.length === 0 ? chunk : Buffer.concat([this.received, chunk]);
    this.#answerWaiting();
  }

  #answerWaiting() {
    while (this.#waiting.length > 0) {
      const parsed = parseResponse(this.received, this.#waiting[0].method, this.ended);
      if (!parsed) break;
      this.received = this.received.subarray(parsed.length);
      if (parsed.response.status === 100) continue;
      this.#waiting.shift().settle(parsed.response);
    }
    if (this.ended) for (const { settle } of this.#waiting.splice(0)) settle(undefined);
  }

  #finish() {
    this.ended = true;
    this.#answerWaiting();
    return "closed";
  }
}

/** Sends one request on a stream of its own. Throws when the stream ends without an answer. */
export async function request(port, method, path, options) {
  const stream = new RawStream(port);
  try {
    const answer = await stream.request(method, path, options);
    if (answer === undefined)
      throw new Error(`the stream ended without an answer to ${method} ${path} (${stream.error})`);
    return answer;
  } finally {
    stream.destroy();
  }
}
