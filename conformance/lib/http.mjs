// A raw HTTP/1.1 client: it sends exactly the bytes it is told to and keeps what came back.
import net from "node:net";
import { WAIT_MS } from "./wait.mjs";


/** One TCP stream. Requests may be kept alive, overlap (pipelining) or be abandoned. */
export class Stream {
  constructor(socket) {
    this.socket = socket;
    this.buffer = Buffer.alloc(0);
    this.waiting = []; // requests without an answer yet, oldest first
    this.ended = false;
    this.end = new Promise((resolve) => {
      const finish = () => {
        if (this.ended) return;
        this.ended = true;
        this.#parse();
        for (const entry of this.waiting.splice(0)) entry.settle(undefined);
        resolve("closed");
      };
      socket.on("end", finish).on("close", finish);
    });
    socket.on("error", () => {}); // a reset is an end like any other
    socket.on("data", (chunk) => {
      this.buffer = Buffer.concat([this.buffer, chunk]);
      if (this.onBytes) this.onBytes();
      else this.#parse();
    });
  }

  static open(port) {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.removeListener("error", reject);
        resolve(new Stream(socket));
      });
    });
  }

  /** Sends raw bytes, nothing added. */
  send(bytes) {
    this.socket.write(bytes);
    return this;
  }

  /** Sends a whole request; resolves with its answer, or with `undefined` when the stream ends without one. */
  request(method, path, { headers = {}, body } = {}) {
    const answer = this.answer(method);
    this.send(head(method, path, { host: "conformance.test", ...lengthOf(body), ...headers }));
    if (body !== undefined) this.send(body);
    return answer;
  }

  /** The next answer on this stream. */
  answer(method = "GET") {
    let settle;
    const promise = new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer to ${method} in ${WAIT_MS} ms`)), WAIT_MS);
      settle = (value) => (clearTimeout(timer), resolve(value));
    });
    promise.catch(() => {}); // reported where it is awaited
    this.waiting.push({ method, settle });
    if (this.ended) setImmediate(() => this.waiting.splice(0).forEach((entry) => entry.settle(undefined)));
    return promise;
  }

  destroy() {
    this.socket.destroy();
  }

  #parse() {
    while (this.waiting.length > 0) {
      const parsed = parseResponse(this.buffer, this.waiting[0].method, this.ended);
      if (!parsed) return;
      this.buffer = this.buffer.subarray(parsed.length);
      if (parsed.response.status === 100) continue;
      this.waiting.shift().settle(parsed.response);
    }
  }
}

export function head(method, path, headers) {
  const lines = [`${method} ${path} HTTP/1.1`];
  for (const [name, value] of Object.entries(headers)) {
    for (const one of [].concat(value)) if (one !== undefined) lines.push(`${name}: ${one}`);
  }
  return Buffer.from(lines.join("\r\n") + "\r\n\r\n", "latin1");
}

const lengthOf = (body) => (body === undefined ? {} : { "content-length": Buffer.byteLength(body) });

function parseResponse(buffer, method, ended) {
  const headEnd = buffer.indexOf("\r\n\r\n");
  if (headEnd < 0) return undefined;
  const [statusLine, ...lines] = buffer.subarray(0, headEnd).toString("latin1").split("\r\n");
  const [, status, reason = ""] = /^HTTP\/1\.[01] (\d{3}) ?(.*)$/.exec(statusLine) ?? [];
  const headers = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[name] = name in headers ? [].concat(headers[name], value) : value;
  }
  const body = parseBody(buffer.subarray(headEnd + 4), method, Number(status), headers, ended);
  if (!body) return undefined;
  const response = { status: Number(status), reason, headers, body: body.bytes.toString() };
  return { response, length: headEnd + 4 + body.length };
}

function parseBody(rest, method, status, headers, ended) {
  if (method === "HEAD" || status < 200 || status === 204 || status === 304) return { bytes: Buffer.alloc(0), length: 0 };
  if (headers["transfer-encoding"] === "chunked") return parseChunks(rest);
  if (headers["content-length"] === undefined) return ended ? { bytes: rest, length: rest.length } : undefined;
  const length = Number(headers["content-length"]);
  return rest.length < length ? undefined : { bytes: rest.subarray(0, length), length };
}

function parseChunks(rest) {
  const parts = [];
  for (let at = 0; ; ) {
    const lineEnd = rest.indexOf("\r\n", at);
    if (lineEnd < 0) return undefined;
    const size = parseInt(rest.subarray(at, lineEnd).toString("latin1"), 16);
    const next = lineEnd + 2 + size + 2;
    if (rest.length < next) return undefined;
    parts.push(rest.subarray(lineEnd + 2, next - 2));
    at = next;
    if (size === 0) return { bytes: Buffer.concat(parts), length: at };
  }
}
