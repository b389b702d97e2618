// An app server that is deployed, killed and restarted. It writes down what it did before it does it, in a file, so that
// the record survives `kill -9`: one line of JSON for each entry.
import { openSync, writeSync } from "node:fs";
import { serve } from "../apps/serve.mjs";

const now = () => Number(process.hrtime.bigint()) / 1e6;

serve((context) => {
  const { io, server } = context;
  let file;
  const write = (op, entry) =>
    file !== undefined && writeSync(file, `${JSON.stringify({ at: now(), op, ...entry })}\n`);
  const early = [];
  const note = (op, entry) => (file === undefined ? early.push([op, entry]) : write(op, entry));

  io.on("connection", (socket) => {
    const { client } = socket.handshake.auth;
    const rehomed = socket.conn.rehomed === true;
    note("came", { client, socket: socket.id, recovered: socket.recovered, rehomed, rooms: [...socket.rooms].sort() });
    if (!socket.recovered) {
      socket.join(["all", `odd${client % 2}`]);
      socket.data.client = client;
    } else {
      if (socket.data.client !== client) note("wrong", { client, what: `its data is ${JSON.stringify(socket.data)}` });
      for (const room of ["all", `odd${client % 2}`]) {
        if (!socket.rooms.has(room)) note("wrong", { client, what: `it is not in room ${room}` });
      }
    }
    socket.on("say", (number, done) => {
      note("handled", { client, number, socket: socket.id });
      // Some answers take a while, as those of an app with a database do.
      if (number % 10 === 0) setTimeout(() => done(number), 5);
      else done(number);
    });
    socket.on("disconnect", (reason, details) => {
      note("went", { client, socket: socket.id, reason, rehomed: details?.rehomed === true });
    });
  });

  /** Writes to this file from now on, and sends a numbered broadcast every `everyMs`. */
  context.begin = ({ path, everyMs }) => {
    file = openSync(path, "a");
    for (const [op, entry] of early.splice(0)) write(op, entry);
    let number = 0;
    const timer = setInterval(() => {
      number += 1;
      write("cast", { number });
      io.to("all").emit("news", server, number);
    }, everyMs);
    context.stopCasting = () => clearInterval(timer);
    /** Resolves when everything is closed. */
    context.leave = async (argument) => {
      clearInterval(timer);
      await new Promise((done) => setImmediate(done));
      write("leaves", {});
      if (argument?.plainly) await context.trunkline?.close({ rehome: false });
      await new Promise((done) => io.close(done));
      write("left", {});
    };
  };
});
