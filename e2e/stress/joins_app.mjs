// Two app servers that notify each other, over a stream of their own, of what they have just done to a socket's rooms.
import { connect, createServer } from "node:net";
import { serve } from "../apps/serve.mjs";

const join = (socket, room) => socket.join(room);
const leave = (socket, room) => socket.leave(room);
/**
 * What each round does to the socket, and where the other app server then sends. `joins_run.mjs` knows whom it reaches.
 */
const KINDS = {
  join: { prepare: () => {}, change: join, target: (io, _id, room) => io.to(room) },
  leave: { prepare: join, change: leave, target: (io, _id, room) => io.to(room) },
  excepted: { prepare: () => {}, change: join, target: (io, id, room) => io.to(id).except(room) },
  forgiven: { prepare: join, change: leave, target: (io, id, room) => io.to(id).except(room) },
};
const NAMES = Object.keys(KINDS);
const kindOf = (round) => NAMES[round % NAMES.length];

serve((context) => {
  const { io } = context;
  const turn = () => new Promise((done) => setImmediate(done));

  let told = 0;
  context.told = () => told;

  /** Listens for the other app server's lines, and does what they say. @returns the port */
  context.listen = async () => {
    const listener = createServer((stream) => {
      stream.setNoDelay();
      let rest = "";
      stream.on("data", (data) => {
        const lines = (rest + data).split("\n");
        rest = lines.pop();
        for (const line of lines) {
          told += 1;
          const [round, id, room] = line.split(" ");
          KINDS[kindOf(Number(round))].target(io, id, room).emit("hit", Number(round));
        }
      });
    });
    await new Promise((done) => listener.listen(0, "127.0.0.1", done));
    return listener.address().port;
  };

  /**
   * Changes rooms and notifies the other app server, round by round. `awaits`: awaits the change before it notifies.
   */
  context.move = async ({ port, rounds, awaits }) => {
    const stream = connect(port, "127.0.0.1").setNoDelay();
    await new Promise((done) => stream.once("connect", done));
    const sockets = [...io.sockets.sockets.values()];
    for (let round = 0; round < rounds; round += 1) {
      const { prepare, change } = KINDS[kindOf(round)];
      const socket = sockets[(round >> 2) % sockets.length];
      const room = `r${round}`;
      prepare(socket, room);
      await turn();
      if (awaits) await change(socket, room);
      else change(socket, room);
      stream.write(`${round} ${socket.id} ${room}\n`);
      // Vary the time between this and the other app server's work.
      if (round % 3 === 0) await new Promise((done) => setTimeout(done, 1));
    }
    await new Promise((done) => stream.end(done));
  };

  /** Sends broadcasts of its own, a few per turn, to an empty room or to all, until told otherwise. */
  context.chatter = (perMs) => {
    clearInterval(context.chattering);
    if (perMs > 0)
      context.chattering = setInterval(() => {
        for (let n = 0; n < perMs; n += 1) io.to("nobody").emit("noise", n);
      }, 1);
  };
});
