// The attacks, each with an end: `run` gets a port and a deadline, and returns what the attackers got. `attacks.mjs` starts this as a process
// of its own. `named` matches the counters that an operator finds it by; `args` are for the node, `options` for the app.
import { BODIES } from "./bodies.mjs";
import { DOORS } from "./doors.mjs";
import { FRAMES } from "./frames.mjs";
import { SESSIONS } from "./sessions.mjs";
import { STREAMS } from "./streams.mjs";
import { over, pause } from "./tools.mjs";

export const ATTACKS = {
  nothing: {
    what: "no attack, for comparison: a process that keeps a core busy and never speaks to the node",
    run: async (_port, until) => {
      let rounds = 0;
      while (!over(until)) {
        const pauseAt = Date.now() + 50;
        while (Date.now() < pauseAt) rounds += 1;
        await pause(0);
      }
      return rounds > 0 ? "" : "no rounds";
    },
  },
  ...STREAMS,
  ...BODIES,
  ...FRAMES,
  ...SESSIONS,
  ...DOORS,
};

if (process.send && ATTACKS[process.argv[2]]) {
  const [name, port, seconds] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
  process.on("disconnect", () => process.exit());
  process.on("message", async () => {
    const before = process.cpuUsage();
    const note = await ATTACKS[name].run(port, Date.now() + seconds * 1_000);
    const { user, system } = process.cpuUsage(before);
    process.send({ kind: "done" });
    process.send({ kind: "note", note, cpuS: (user + system) / 1e6 });
  });
}
