/**
 * A node that does only what a test tells it: it speaks the trunk protocol over a real stream and keeps what it
 * received.
 */
import { createServer } from "node:http";
import { once } from "node:events";
import { WebSocketServer } from "ws";
import { encodeBatch, framesOf } from "../../../../testing/trunk_batch.mjs";

const WELCOME = {
  type: "Welcome",
  version: 1,
  credit: 1 << 20,
  pingIntervalMs: 60_000,
  batchBytesMax: 1 << 20,
  info: '{"node":"n1","version":"0.0.0","warnings":[],"frames":["Number","Reattach","Prove","GiveBack"]}',
};

export class FakeNode {
  trunks = [];
  /** The trunks that are open. */
  open = [];
  /** The upgrade requests seen, refused ones included. */
  requests = [];
  #waiting = [];
  #servers = new Map();
  /** The trunks that can be resumed, by the names that their app servers were given. */
  #resumable = new Map();

  /**
   * @param options.welcome fields of `Welcome` that differ from the usual
   * @param options.refuse `(request) => undefined | { status, body }`
   * @param options.silent answers `Hello` with nothing
   * @param options.answers `(hello) => undefined | frame | false`: what to answer `Hello` with in place of `Welcome`; with
   * false the stream breaks
   * @param options.resumes keeps trunks whose stream broke: for this many milliseconds, as it says
   * @param options.nodes the nodes that it lists after `Welcome`; see {@link FakeNode.list}
   * @param options.relays tells app servers of one another and relays among them, as a real node does
   */
  static async start(options = {}) {
    const node = new FakeNode();
    node.options = options;
    node.http = createServer((_request, response) => response.writeHead(404).end());
    node.server = new WebSocketServer({ noServer: true, perMessageDeflate: false });
    node.http.on("upgrade", (request, socket, head) => node.#upgrade(request, socket, head));
    node.http.listen(options.port ?? 0, "127.0.0.1");
    await once(node.http, "listening");
    node.port = node.http.address().port;
    node.endpoint = `http://127.0.0.1:${node.port}`;
    return node;
  }

  /** The next trunk that has been welcomed. */
  trunk() {
    const ready = this.trunks.shift();
    return ready ? Promise.resolve(ready) : new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Lists these nodes to the app servers that are here, and to those that come. */
  list(nodes) {
    this.options.nodes = nodes;
    for (const trunk of this.open) trunk.send({ type: "Nodes", nodes });
  }

  /** This node as nodes list it. */
  listed(overrides) {
    const { node } = JSON.parse({ ...WELCOME, ...this.options.welcome }.info);
    return { id: node, number: 1, url: this.endpoint, state: 1, ...overrides };
  }

  async stop() {
    for (const client of this.server.clients) client.terminate();
    this.http.close();
    this.http.closeAllConnections();
    await once(this.http, "close");
  }

  #join(trunk) {
    const id = trunk.hello.server;
    this.#servers.set(id, trunk);
    this.#tellPeers();
    trunk.onFrame = (frame) => {
      if (frame.type !== "Relay") return;
      for (const to of frame.to.length > 0 ? frame.to : this.#servers.keys()) {
        if (to !== id) this.#servers.get(to)?.send({ type: "Relayed", from: id, payload: frame.payload });
      }
    };
    trunk.closed.then(() => {
      if (this.#servers.get(id) !== trunk) return;
      this.#servers.delete(id);
      this.#tellPeers();
    });
  }

  #tellPeers() {
    for (const [id, trunk] of this.#servers)
      trunk.send({ type: "Peers", servers: [...this.#servers.keys()].filter((other) => other !== id) });
  }

  /** Forgets the trunks of which nothing is left here. */
  forget() {
    this.#resumable.clear();
  }

  #welcome(trunk) {
    const welcome = { ...WELCOME, ...this.options.welcome };
    const { resumes: ms } = this.options;
    if (ms === undefined) return welcome;
    const info = JSON.parse(welcome.info);
    info.frames.push("Got", "Mark");
    return { ...welcome, info: JSON.stringify({ ...info, resume: { trunk, ms } }) };
  }

  #upgrade(request, socket, head) {
    this.requests.push(request);
    // An app server that gives up does not wait for the answer.
    socket.on("error", () => undefined);
    const refusal = this.options.refuse?.(request);
    if (refusal) {
      const isText = typeof refusal.body === "string";
      const body = isText ? refusal.body : JSON.stringify(refusal.body);
      socket.end(
        `HTTP/1.1 ${refusal.status} No\r\ncontent-type: ${isText ? "text/html" : "application/json"}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
      );
      return;
    }
    this.server.handleUpgrade(request, socket, head, (stream) => {
      const trunk = new FakeTrunk(stream);
      trunk.next("Hello").then((hello) => {
        trunk.hello = hello;
        if (this.options.silent) return;
        const answer = this.options.answers?.(hello);
        if (answer === false) return stream.terminate();
        if (answer !== undefined) return trunk.send(answer);
        const { resume } = JSON.parse(hello.settings);
        const former = this.#resumable.get(resume?.trunk);
        if (former !== undefined) return former.continueOn(trunk, this.#welcome(resume.trunk), resume.received);
        const name = `trunk-${this.port}-${this.#resumable.size}`;
        const { opening, beside = [] } = JSON.parse(hello.settings);
        const isSame = ({ hello: { server }, opening }) => server === hello.server && beside.includes(opening);
        if (this.open.some(isSame)) return trunk.send({ type: "Error", code: 9, message: "another trunk is here" });
        trunk.opening = opening;
        this.open.push(trunk);
        trunk.closed.then(() => (this.open = this.open.filter((other) => other !== trunk)));
        const { nodes } = this.options;
        trunk.welcome(this.#welcome(name), ...(nodes === undefined ? [] : [{ type: "Nodes", nodes }]));
        if (this.options.resumes) this.#resumable.set(name, trunk);
        if (this.options.relays) this.#join(trunk);
        const waiting = this.#waiting.shift();
        if (waiting) waiting(trunk);
        else this.trunks.push(trunk);
      });
    });
  }
}

export class FakeTrunk {
  /** Every batch received: lists of frames. */
  batches = [];
  /** Frames received that no `next` has taken. */
  frames = [];
  /** `Number`s, `Got`s and `Prove`s, which are not among the others; what the latter are answered with. */
  numbers = [];
  gots = [];
  proves = [];
  holds = 1;
  #waiting = [];

  /** How many batches came after `Hello`, and those that were sent after `Welcome`. */
  received = -1;
  sent = [];

  constructor(stream) {
    this.#listen(stream);
  }

  #listen(stream) {
    this.stream = stream;
    this.closed = once(stream, "close").then(([code]) => code);
    stream.on("message", (data) => {
      if (this.stream !== stream) return;
      this.received++;
      const frames = framesOf(data);
      this.batches.push(frames);
      this.frames.push(...frames.filter((frame) => !this.#sees(frame)));
      for (const frame of frames) this.onFrame?.(frame);
      this.#serve();
    });
  }

  #sees(frame) {
    if (frame.type === "Number") return this.numbers.push(frame) > 0;
    if (frame.type === "Got") return this.gots.push(frame.batches) > 0;
    // One with words in it waits for the node to have taken what came before.
    if (frame.type === "Ping" && frame.token.length > 0) this.send({ type: "Pong", token: frame.token });
    else if (frame.type === "Prove") {
      this.proves.push(frame);
      if (this.holds !== undefined) this.send({ type: "Proved", requestId: frame.requestId, holds: this.holds });
    } else return false;
    return true;
  }

  welcome(...frames) {
    this.stream.send(encodeBatch(frames));
    this.isWelcome = true;
  }

  /** Goes on with the stream of another trunk, which has said that it continues this one. */
  continueOn({ stream, hello }, welcome, received) {
    this.hello = hello;
    stream.removeAllListeners("message");
    this.stream.terminate();
    this.#listen(stream);
    const info = JSON.stringify({ ...JSON.parse(welcome.info), resumed: { received: this.received } });
    this.welcome({ ...welcome, info });
    for (const batch of this.sent.slice(received)) stream.send(batch);
    this.onResumed?.();
  }

  /** The next time that the trunk goes on with another stream. */
  resumed() {
    return new Promise((resolve) => (this.onResumed = resolve));
  }

  /** Sends frames as one batch. */
  send(...frames) {
    const batch = encodeBatch(frames);
    if (this.isWelcome) this.sent.push(batch);
    this.stream.send(batch);
  }

  raw(bytes) {
    this.stream.send(bytes);
  }

  /** Waits for the next frame of one of these types, and takes it; others stay. */
  next(...types) {
    return new Promise((resolve) => {
      this.#waiting.push({ types, resolve });
      this.#serve();
    });
  }

  /** Waits until everything that the app server was about to send has come: a ping goes around. */
  async settle() {
    const token = Buffer.from(String(Math.random()).slice(0, 12));
    this.send({ type: "Ping", token });
    for (;;) {
      const pong = await this.next("Pong");
      if (pong.token.equals(token)) return;
    }
  }

  open(session, overrides = {}) {
    this.send(openFrame(session, overrides));
  }

  text(session, ...messages) {
    this.send(...messages.map((message) => ({ type: "Message", session, flags: 0, payload: Buffer.from(message) })));
  }

  /** Opens a session and connects it to the main namespace. Returns the Socket.IO id. */
  async connect(session, overrides = {}) {
    this.open(session, overrides);
    await this.next("Accept");
    this.text(session, "0");
    const send = await this.next("Send");
    return JSON.parse(send.payload.toString().slice(1)).sid;
  }

  #serve() {
    for (let index = 0; index < this.#waiting.length; index++) {
      const { types, resolve } = this.#waiting[index];
      const found = this.frames.findIndex((frame) => types.includes(frame.type));
      if (found < 0) continue;
      this.#waiting.splice(index--, 1);
      resolve(this.frames.splice(found, 1)[0]);
    }
  }
}

export function openFrame(session, { eio = 4, sid = `sid-${session}`, headers = [], ...request } = {}) {
  return {
    type: "Open",
    session,
    eio,
    sid,
    request: {
      transport: 1,
      flags: 0,
      address: "203.0.113.7",
      port: 50412,
      method: "GET",
      url: `/socket.io/?EIO=${eio}&transport=${request.transport === 2 ? "websocket" : "polling"}`,
      claims: "",
      ...request,
      rawHeaders: Object.entries({ host: "chat.example", ...headers }).flatMap(([name, value]) =>
        [value].flat().flatMap((one) => [name, one]),
      ),
    },
  };
}
