// Room changes, and broadcasts of another app server that come after them: `node stress/joins.mjs [--rounds 5000]
// [--threads 1,2] [--chatter 0]`. Prints a line per setting with the rounds that went wrong; exit code 1 when there are
// any.
//
// `--chatter N`: both app servers also broadcast N times per ms to an empty room.
import { parseArgs } from "node:util";
import { run } from "./joins_run.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "5000" },
    threads: { type: "string", default: "1,2" },
    chatter: { type: "string", default: "0" },
  },
});
const rounds = Number(options.rounds);
for (const threads of options.threads.split(",").map(Number)) {
  for (const clients of threads === 1 ? [4] : [3, 4]) {
    for (const awaits of [false, true]) {
      const { wrong, expired } = await run({ threads, rounds, clients, awaits, chatter: Number(options.chatter) });
      const counts = Object.entries(wrong).map(([kind, list]) => `${kind} ${list.length}`);
      const where = threads === 1 ? "" : clients % 2 === 1 ? ", trunks on one thread" : ", trunks apart";
      console.log(
        `${threads} threads${where}${awaits ? ", await" : ""}: ${rounds} rounds, wrong: ${counts.join(", ")}; waits expired: ${expired}`,
      );
      if (Object.values(wrong).some((list) => list.length > 0)) process.exitCode = 1;
    }
  }
}
