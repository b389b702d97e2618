// A client of NATS by hand, which may send what no node would.
import { once } from "node:events";
import { connect } from "node:net";
import { until } from "./wait.mjs";

export class NatsClient {
  /** What came for the subscriptions: `{ subject, payload }`. */
  messages = [];
  #rest = Buffer.alloc(0);
  #subscriptions = 0;
  #pongs = 0;

  static async connect(port) {
    const client = new NatsClient(connect(port, "127.0.0.1"));
    await once(client.socket, "connect");
    client.#send(`CONNECT ${JSON.stringify({ verbose: false, echo: false })}\r\n`);
    await client.flush();
    return client;
  }

  constructor(socket) {
    this.socket = socket;
    socket.on("data", (chunk) => this.#read(chunk));
    socket.on("error", () => {});
  }

  #send(line, payload) {
    this.socket.write(payload ? Buffer.concat([Buffer.from(line), payload, Buffer.from("\r\n")]) : line);
  }

  #read(chunk) {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (let end = this.#rest.indexOf("\r\n"); end >= 0; end = this.#rest.indexOf("\r\n")) {
      const words = this.#rest.subarray(0, end).toString().split(" ");
      const payload = words[0] === "MSG" ? Number(words.at(-1)) : undefined;
      const whole = payload === undefined ? end + 2 : end + 2 + payload + 2;
      if (this.#rest.length < whole) return;
      if (payload !== undefined) {
        this.messages.push({ subject: words[1], payload: Buffer.from(this.#rest.subarray(end + 2, whole - 2)) });
      }
      if (words[0] === "PING") this.#send("PONG\r\n");
      if (words[0] === "PONG") this.#pongs += 1;
      this.#rest = this.#rest.subarray(whole);
    }
  }

  subscribe(subject) {
    this.#subscriptions += 1;
    this.#send(`SUB ${subject} ${this.#subscriptions}\r\n`);
  }

  publish(subject, payload) {
    this.#send(`PUB ${subject} ${payload.length}\r\n`, Buffer.from(payload));
  }

  /** Resolves once the server has taken everything that was sent. */
  async flush() {
    const before = this.#pongs;
    this.#send("PING\r\n");
    await until("NATS's answer", () => this.#pongs > before);
  }

  close() {
    this.socket.destroy();
  }
}
