// An app server that sends numbered broadcasts, and notes what its clients say out of turn.
import { serve } from "../apps/serve.mjs";

serve((context) => {
  const { io, server } = context;
  let casts = 0;
  context.counts = { came: 0, handled: 0, wrong: [], ends: {} };
  const { counts } = context;
  io.on("connection", (socket) => {
    counts.came += 1;
    let last = -1;
    socket.on("say", (number, done) => {
      counts.handled += 1;
      if (number !== last + 1) counts.wrong.push(`${socket.id}: ${number} after ${last}`);
      last = number;
      done(number);
    });
    // The answer follows the last broadcast, on the same way.
    socket.on("casts", (done) => done(server, casts));
    socket.on("disconnect", (reason) => {
      counts.ends[reason] = (counts.ends[reason] ?? 0) + 1;
    });
  });
  let timer;
  context.begin = (everyMs) => {
    timer = setInterval(() => {
      casts += 1;
      io.emit("news", server, casts);
    }, everyMs);
  };
  context.end = () => {
    clearInterval(timer);
    return { ...counts, casts };
  };
});
