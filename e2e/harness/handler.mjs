// An event handler in Python, and a node whose default hub it serves: serverless mode, end to end.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { io } from "socket.io-client";
import { DEVELOPMENT_KEY, epochSeconds, signToken } from "../../testing/token.mjs";
import { until } from "../../testing/wait.mjs";
import { Log } from "./log.mjs";
import { startNode } from "./node.mjs";

export const PYTHON =
  process.env.E2E_PYTHON ?? fileURLToPath(new URL("../../target/xtask/python/bin/python", import.meta.url));
const SCRIPT = fileURLToPath(new URL("../apps/handler.py", import.meta.url));
export const KEY = DEVELOPMENT_KEY;
export const PATH = "/clients/socketio/hubs/default";

/** Starts `apps/handler.py` and waits until it listens. `certificate`: a PEM file, for https. */
export async function startHandler(port = 0, certificate) {
  const child = spawn(PYTHON, [SCRIPT, String(port), ...(certificate ? [certificate] : [])], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, HANDLER_KEY: KEY },
  });
  const handler = new Handler(child);
  await until("the handler's port", () => {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}\n${handler.log.text}`);
    handler.port = JSON.parse(handler.log.lines.find((line) => line.startsWith("{"))).port;
    return true;
  });
  if (!certificate) await until("the handler's answer", () => handler.look());
  return handler;
}

class Handler {
  port = 0;

  constructor(child) {
    this.child = child;
    this.log = new Log("handler", child);
  }
  /**
   * The requests that it has received so far: headers without `ce-`, body, path; and how often a redirect was followed.
   */
  async look() {
    return (await fetch(`http://127.0.0.1:${this.port}/seen`)).json();
  }
  /** The names of the events that it received about this socket. */
  async heard(socketId) {
    return (await this.look()).seen.filter((one) => one.socketid === socketId).map((one) => one.eventname);
  }
  async mode(change) {
    await fetch(`http://127.0.0.1:${this.port}/mode`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(change),
    });
  }
  async stop() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await ended;
  }
}

/** A node and its handler. */
export class Serverless {
  clients = [];

  static async start({ args = [], handler, scheme = "http", env } = {}) {
    const world = new Serverless();
    world.handler = handler ?? (await startHandler());
    const url = `${scheme}://127.0.0.1:${world.handler.port}/events/{event}`;
    world.node = await startNode({ threads: 2, env, args: ["--event-handler", url, ...args] });
    return world;
  }

  /** An ordinary Socket.IO client; `query` may contain an access token. */
  client(namespace = "/", options = {}) {
    const { query, ...rest } = options;
    const socket = io(this.node.url + namespace, { path: PATH, forceNew: true, reconnection: false, query, ...rest });
    this.clients.push(socket);
    return socket;
  }
  async connected(namespace, options) {
    const socket = this.client(namespace, options);
    await new Promise((done, failed) => {
      socket.once("connect", done);
      socket.once("connect_error", failed);
    });
    return socket;
  }

  /** A REST call, signed as Azure's clients do. */
  async call(method, path, { query = {}, body, type = "text/plain" } = {}) {
    const parameters = new URLSearchParams({ ...query, "api-version": "2024-12-01" });
    const url = `${this.node.url}/api/hubs/default/${path}?${parameters}`;
    const headers = { authorization: `Bearer ${token({ aud: url })}` };
    if (body !== undefined) headers["content-type"] = type;
    const response = await fetch(url, { method, headers, body });
    return { status: response.status, body: await response.text() };
  }

  /** The value of a metric of the node, or 0. */
  async metric(name) {
    return (await this.node.metrics()).get(name) ?? 0;
  }
  async stop() {
    for (const client of this.clients) client.disconnect();
    await this.node?.stop();
    await this.handler?.stop();
  }
}

/** A token with these claims, for an hour. */
export function token(claims, key = KEY) {
  const now = epochSeconds();
  return signToken({ iat: now, exp: now + 3600, ...claims }, { key });
}

/** The group of a room; the empty room is the whole namespace. */
export function group(namespace, room) {
  return `0~${Buffer.from(namespace).toString("base64url")}~${Buffer.from(room).toString("base64url")}`;
}
