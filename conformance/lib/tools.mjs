// `t`, the tools that a script gets: first raw ones, then small sessions built from them.
import { setTimeout as delay } from "node:timers/promises";
import { Client } from "./clients.mjs";
import { PollingSession, engineUrl } from "../../testing/engine.mjs";
import { RawStream } from "../../testing/stream.mjs";
import { showResponse } from "./transcript.mjs";
import { WAIT_MS } from "./wait.mjs";
import { TranscriptSocket } from "./websocket.mjs";

const STREAM = { host: "conformance.test", answerMs: WAIT_MS };

/** The tools of one run of a script against one server. At the end, {@link Tools.finish} closes everything. */
export class Tools {
  #server;
  #transcript;
  #streams = [];
  #clients = [];
  #seen = [];
  #watchers = new Set();
  #apiClients = [];
  #doors = 0;
  #rounds = 0;
  #finished = false;

  constructor(server, transcript) {
    this.#server = server;
    this.#transcript = transcript;
    this.port = server.port;
    server.onLog = (who, event, data) => {
      transcript.addApp(who, event, data);
      this.#seen.push({ who, event });
      this.lastSeenAt = performance.now();
      for (const check of [...this.#watchers]) check();
    };
  }

  /** Adds a line to the transcript. HTTP answers are written out in full. */
  log(event, data) {
    const isResponse = data && typeof data === "object" && "status" in data && "headers" in data;
    this.#transcript.addClient(event, isResponse ? showResponse(data) : data);
  }

  /** The engine's path with a query; `""` and `undefined` differ as in a URL. */
  url(query, path) {
    return engineUrl(query, path);
  }

  /** A TCP stream to the server, for requests by hand. */
  async stream() {
    const stream = await RawStream.open(this.port, STREAM);
    this.#streams.push(stream);
    return stream;
  }

  /** One request on a stream of its own. */
  async http(method, path, options) {
    const stream = await this.stream();
    const response = await stream.request(method, path, options);
    stream.destroy();
    return response;
  }

  /** A WebSocket to any path; look at `.response` for the answer. */
  async websocket(path, headers, early) {
    const socket = await TranscriptSocket.open(this.port, path, { headers, early, ...STREAM });
    this.#streams.push(socket);
    return socket;
  }

  /**
   * A session that begins with a WebSocket, without polling before; its open packet has been read. `join` also connects
   * it to the default namespace; `early` are frames that are sent together with the request.
   */
  async direct({ query = {}, headers, join = false, who, early } = {}) {
    const ws = await this.websocket(
      this.url({ transport: "websocket", ...query }),
      { ...whoHeader(who), ...headers },
      early,
    );
    if (ws.response?.status !== 101) throw new Error(`WebSocket refused: ${showResponse(ws.response)}`);
    ws.open = JSON.parse((await ws.next()).slice("text 0".length));
    if (join) {
      ws.text("40");
      ws.joined = await ws.next();
    }
    return ws;
  }

  /** A polling session after its handshake. `join` also connects it to the default namespace. */
  async polling({ query = {}, headers, join = false, who } = {}) {
    const response = await this.http("GET", this.url(query), { headers: { ...whoHeader(who), ...headers } });
    if (response?.status !== 200) throw new Error(`handshake refused: ${showResponse(response)}`);
    const session = new Polling(this, response, (sid) => this.url({ ...query, sid }));
    if (join) {
      await session.post("40");
      session.joined = (await session.get()).body;
    }
    return session;
  }

  /** Waits until the app has logged `event` (`count` times, for the client `who` if given). */
  saw(event, { who, count = 1 } = {}) {
    const enough = () => this.#seen.filter((one) => one.event === event && (!who || one.who === who)).length >= count;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#watchers.delete(check);
        reject(new Error(`the app did not see "${event}" in ${WAIT_MS} ms`));
      }, WAIT_MS);
      const check = () => {
        if (!enough()) return;
        clearTimeout(timer);
        this.#watchers.delete(check);
        resolve();
      };
      this.#watchers.add(check);
      check();
    });
  }

  /** Calls one of the actions that the script's `app` returned; resolves with what it returned. */
  tell(action, ...args) {
    return this.#server.tell(action, args);
  }

  /** Like `tell`, at the app server `index`; see `where`. */
  tellAt(index, action, ...args) {
    return this.#server.tell(action, args, index % this.#server.appServers);
  }

  /** A real client, connected (`wait: false`: not yet). Options: see `Client`. */
  async connect(who, { wait = true, ...options } = {}) {
    const client = this.client(new Client(this, who, options));
    this.#apiClients.push(client);
    if (wait) await client.until("connect");
    return client;
  }

  /** The index of the app server that has `client`. */
  where(client) {
    return client.ask("where");
  }

  /** Resolves when every connected client has received everything that the app has sent until now. */
  async settle() {
    const round = ++this.#rounds;
    await this.#server.settle(round);
    const clients = this.#apiClients.filter((client) => client.socket.connected);
    await Promise.all(clients.map((client) => client.until("settled", round * this.#server.appServers)));
  }

  /** Asks until the answer is `wanted` (as JSON); the last answer is a line of the transcript. */
  async eventually(what, ask, wanted) {
    const deadline = performance.now() + WAIT_MS;
    let answer = await ask();
    while (JSON.stringify(answer) !== JSON.stringify(wanted) && performance.now() < deadline) {
      await delay(10);
      answer = await ask();
    }
    this.log(what, answer);
  }

  /** Replaces a value that differs from run to run by `name` in the transcript. */
  name(value, name) {
    this.#transcript.name(value, name);
  }

  /** A line under a client's own name, because the order between clients is not fixed. */
  logOf(who, event, data) {
    if (!this.#finished) this.#transcript.addClient(event, data, who);
  }

  /** The port for the next client: where there are several ports, clients use them in turn. */
  clientPort() {
    const doors = this.#server.clientPorts;
    return doors[this.#doors++ % doors.length];
  }

  /** Remembers a library client, so that it is closed at the end. */
  client(client) {
    this.#clients.push(client);
    return client;
  }

  /** Use it only for things that must *not* happen within a time. Everything else is waited for by name. */
  pause(ms) {
    return delay(ms);
  }

  /** Waits until everything under way has reached the app, then closes what the script left open. */
  async finish() {
    const quietMs = 40;
    do {
      await delay(quietMs);
      // On a busy machine a silent app may only not have run yet.
      await this.#server.idle();
    } while (performance.now() - (this.lastSeenAt ?? 0) < quietMs);
    this.#server.onLog = () => {};
    this.#finished = true;
    for (const client of this.#clients) client.close();
    for (const stream of this.#streams) stream.destroy();
  }
}

/** A long-polling session with further actions for scripts. */
class Polling extends PollingSession {
  constructor(t, response, pathOf) {
    super((method, path, options) => t.http(method, path, options), response, pathOf);
    this.t = t;
  }
  /** Starts a poll and leaves it open: `{ answer, stream }`. Resolves once the request is under way. */
  async hold() {
    const stream = await this.t.stream();
    const answer = stream.request("GET", this.path);
    await delay(30); // no event shows that a server holds a poll
    return { answer, stream };
  }
  /** A WebSocket to upgrade this session with; the script sends the probe. */
  websocket(headers) {
    return this.t.websocket(this.path.replace("transport=polling", "transport=websocket"), headers);
  }
  /** Does the whole upgrade, as a client does. */
  async upgrade() {
    const ws = await this.websocket();
    ws.text("2probe");
    const pong = await ws.next();
    if (pong !== "text 3probe") throw new Error(`probe answered with ${pong}`);
    ws.text("5");
    return ws;
  }
}

const whoHeader = (who) => (who ? { "x-who": who } : {});

/** A Socket.IO event as text on the wire. */
export const event = (...args) => `42${JSON.stringify(args)}`;
