// Requests that no well-behaved client makes: raw bytes over TCP, and what came back.
import { createHmac, randomBytes } from "node:crypto";
import { connect } from "node:net";
import { within } from "./until.mjs";

/** A TCP stream to a node: write what you like, read what came. */
export class Raw {
  received = Buffer.alloc(0);
  ended = false;

  constructor(port) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.on("data", (chunk) => (this.received = Buffer.concat([this.received, chunk])));
    this.end = new Promise((done) => this.socket.once("close", done)).then(() => (this.ended = true));
    // A reset is an end as good as any.
    this.socket.on("error", () => {});
  }

  write(data) {
    this.socket.write(data);
    return this;
  }
  get text() {
    return this.received.toString("latin1");
  }
  get status() {
    return Number(/^HTTP\/1\.1 (\d{3})/.exec(this.text)?.[1] ?? 0);
  }
  /** Until the other side closes. */
  async closed(withinMs) {
    await within("the end of the stream", this.end, withinMs);
    return this;
  }
  destroy() {
    this.socket.destroy();
  }
}

/** `GET /socket.io/?…` and friends through fetch, with the answer's body read. */
export async function request(node, query, { method = "GET", body, path = "/socket.io/", headers } = {}) {
  const answer = await fetch(`${node.url}${path}?${query}`, { method, body, headers });
  return { status: answer.status, body: await answer.text(), headers: answer.headers };
}

/** Opens a polling session by hand, connected to `/`; gives its sid. */
export async function openSession(node) {
  const { body } = await request(node, "EIO=4&transport=polling");
  const { sid } = JSON.parse(body.slice(1));
  await request(node, `EIO=4&transport=polling&sid=${sid}`, { method: "POST", body: "40" });
  return sid;
}

export const post = (node, sid, body, headers = { "content-type": "text/plain;charset=UTF-8" }) =>
  request(node, `EIO=4&transport=polling&sid=${sid}`, { method: "POST", body, headers });

/** The head of a WebSocket handshake. */
export function upgradeHead(path, headers = {}) {
  const lines = {
    Host: "localhost",
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": randomBytes(16).toString("base64"),
    ...headers,
  };
  return `GET ${path} HTTP/1.1\r\n${Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
}

/** A WebSocket frame as a client sends it; every rule can be broken. */
export function frame(payload, { opcode = 1, fin = true, mask = true, reserved = 0, length } = {}) {
  const data = Buffer.from(payload);
  const claimed = length ?? data.length;
  const head = [(fin ? 0x80 : 0) | reserved | opcode];
  const size = Buffer.alloc(claimed > 65535 ? 9 : claimed > 125 ? 3 : 1);
  size[0] = (mask ? 0x80 : 0) | (claimed > 65535 ? 127 : claimed > 125 ? 126 : claimed);
  if (claimed > 65535) size.writeBigUInt64BE(BigInt(claimed), 1);
  else if (claimed > 125) size.writeUInt16BE(claimed, 1);
  const key = mask ? Buffer.from([1, 2, 3, 4]) : Buffer.alloc(0);
  const masked = mask ? Buffer.from(data.map((byte, at) => byte ^ key[at % 4])) : data;
  return Buffer.concat([Buffer.from(head), size, key, masked]);
}

/** A token for a trunk, as an SDK makes it. */
export function trunkToken({ key, hub = "default", claims = {} }) {
  const now = Math.floor(Date.now() / 1000);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ aud: "trunkline", hub, iat: now, exp: now + 60, ...claims })}`;
  return `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`;
}
