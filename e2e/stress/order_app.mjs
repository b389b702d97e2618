// An app server that does what a seed determines, and records what it did, in order.
//
// An entry is written before the call that it records; `time` is the machine's monotonic clock in ms, the same for all
// processes.
import { serve } from "../apps/serve.mjs";
import { isWhole, payloadOf } from "./payloads.mjs";
import { Random } from "./random.mjs";

const ROOMS = Array.from({ length: 12 }, (_, number) => `r${number}`);
const ANSWERS_MS_MAX = 10_000;
const now = () => Number(process.hrtime.bigint()) / 1e6;

class Program {
  log = [];
  #sockets = [];
  #messages = 0;

  constructor({ io, server }) {
    this.io = io;
    this.server = server;
  }

  write(op, entry) {
    this.log.push({ time: now(), op, ...entry });
  }

  welcome(socket) {
    const { id, handshake } = socket;
    this.write("connect", { socket: id, client: handshake.auth.client });
    this.#sockets.push(socket);
    // A room of its own, by which the other app server can reach it too, and a shared one.
    this.join(socket, [`c${handshake.auth.client}`, ROOMS[this.log.length % ROOMS.length]]);
    socket.on("disconnect", (reason) => {
      this.write("gone", { socket: id, reason });
      this.#sockets.splice(this.#sockets.indexOf(socket), 1);
    });
    socket.on("message", (number, payload) => {
      this.write("got", { socket: id, number, bad: !isWhole(number, payload) });
      if (number % 4 === 0) this.send(socket);
    });
    socket.on("question", (number, payload, done) => {
      this.write("got", { socket: id, number, bad: !isWhole(number, payload) });
      if (number % 3 === 0) setImmediate(() => socket.connected && this.acknowledge(socket, number, done));
      else this.acknowledge(socket, number, done);
    });
  }

  acknowledge(socket, number, done) {
    this.write("ack", { socket: socket.id, number });
    done(number);
  }
  join(socket, rooms) {
    this.write("join", { socket: socket.id, rooms });
    socket.join(rooms);
  }
  leave(socket, room) {
    this.write("leave", { socket: socket.id, room });
    socket.leave(room);
  }
  #next() {
    this.#messages += 1;
    return [`${this.server}:${this.#messages}`, payloadOf(this.#messages)];
  }
  send(socket, volatile) {
    const [id, payload] = this.#next();
    this.write("send", { socket: socket.id, id, volatile });
    (volatile ? socket.volatile : socket).emit("message", id, payload);
  }
  ask(socket) {
    const [id, payload] = this.#next();
    this.write("send", { socket: socket.id, id });
    socket.emit("question", id, payload, (answer) => this.write("answer", { socket: socket.id, id: answer }));
  }
  /** `to`, `except`: rooms. `from`: the socket whose `broadcast` is used. */
  cast({ to = [], except = [], from, volatile, local }) {
    const [id, payload] = this.#next();
    this.write("cast", { id, rooms: to, except: from ? [...except, from.id] : except, volatile, local });
    let target = from ? from.broadcast : this.io;
    for (const room of to) target = target.to(room);
    if (except.length > 0) target = target.except(except);
    if (volatile) target = target.volatile;
    if (local) target = target.local;
    target.emit("message", id, payload);
  }
  /** A broadcast that all clients acknowledge. */
  askAll(to) {
    const [id, payload] = this.#next();
    this.write("cast", { id, rooms: to, except: [] });
    this.io
      .to(to)
      .timeout(ANSWERS_MS_MAX)
      .emit("question to all", id, payload, () => {});
  }
  end(socket, close) {
    this.write("end", { socket: socket.id, close });
    socket.disconnect(close);
  }

  /** `turns` turns of the event loop, each with a few operations. */
  async round({ seed, turns, clients, broadcastAcks }) {
    const random = new Random(seed);
    const choices = this.#choices(random, clients, broadcastAcks);
    for (let turn = 0; turn < turns; turn += 1) {
      for (let left = 1 + random.below(6); left > 0; left -= 1) {
        if (this.#sockets.length === 0) break;
        random.weighted(choices)(random.pick(this.#sockets));
      }
      await this.#pause(random.below(10));
    }
  }

  /** Some turns follow at once, some let the streams be read, some wait. */
  async #pause(kind) {
    if (kind < 5) await new Promise((done) => setImmediate(done));
    else if (kind < 9) await new Promise((done) => setTimeout(done, kind - 4));
  }

  #choices(random, clients, broadcastAcks) {
    const room = () => random.pick(ROOMS);
    const rooms = () => random.some(ROOMS, 1 + random.below(3));
    const own = (socket) => [...socket.rooms].filter((name) => name.startsWith("r"));
    return [
      [24, (socket) => this.send(socket)],
      [7, (socket) => this.ask(socket)],
      [3, (socket) => this.send(socket, true)],
      [18, (socket) => this.join(socket, rooms())],
      [14, (socket) => this.leave(socket, random.pick(own(socket)) ?? room())],
      [10, () => this.cast({ to: rooms() })],
      [6, () => this.cast({ to: rooms(), except: [room()] })],
      [2, () => this.cast({ except: rooms() })],
      [1.5, () => this.cast({})],
      [1.5, (from) => this.cast({ from })],
      [5, (from) => this.cast({ from, to: rooms() })],
      [2, (from) => this.cast({ from, to: rooms(), except: [room()] })],
      [5, () => this.cast({ to: [`c${random.below(clients)}`] })],
      [2, () => this.cast({ to: rooms(), local: true })],
      [3, () => this.cast({ to: rooms(), volatile: true })],
      [0.7, (socket) => this.end(socket, false)],
      [0.5, (socket) => this.end(socket, true)],
      [broadcastAcks ? 4 : 0, () => this.askAll(rooms())],
      // Operations on a room, with messages before and after them, in one turn.
      [4, (socket) => this.#around(socket, room())],
    ];
  }

  #around(socket, room) {
    this.cast({ to: [room] });
    this.join(socket, [room]);
    this.cast({ to: [room] });
    this.send(socket);
    this.leave(socket, room);
    this.cast({ to: [room] });
  }
}

serve((context) => {
  const program = new Program(context);
  context.program = program;
  context.io.on("connection", (socket) => program.welcome(socket));
});
