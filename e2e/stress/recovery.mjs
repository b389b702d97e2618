// Connection state recovery under load: `node stress/recovery.mjs [--clients 1000] [--broadcasts 100] [--away 2000]
// [--threads 2] [--nodes 1] [--seed 1]`. With several nodes every client returns to the next one. Prints a table; exit
// code 1 unless all clients are recovered and have received everything.
//
// `E2E_PLAIN=1`: plain Socket.IO with its in-memory adapter, one app server.
import { parseArgs } from "node:util";
import { judge, summary } from "./recovery_judge.mjs";
import { run } from "./recovery_run.mjs";

const { values } = parseArgs({
  options: {
    clients: { type: "string", default: "1000" },
    broadcasts: { type: "string", default: "100" },
    away: { type: "string", default: "2000" },
    threads: { type: "string", default: "2" },
    nodes: { type: "string", default: "1" },
    seed: { type: "string", default: "1" },
  },
});
const setting = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value)]));
const { awayMs, backMs, refusals, ...record } = await run({ ...setting, awayMs: setting.away });
const fates = judge(record);
const rows = summary(fates);
const percent = (value) => `${Number(value.toFixed(1))} %`;

console.log(
  `seed ${values.seed}, ${values.nodes} nodes of ${values.threads} threads: all streams cut, ${(awayMs / 1000).toFixed(1)} s away, ${values.broadcasts} broadcasts meanwhile ` +
    `and 20 on either side of it; all back after ${(backMs / 1000).toFixed(1)} s, ${refusals} handshakes refused to get them where they belong\n`,
);
console.log(
  "| clients | transport | recovered | same id, rooms, data | in order, exactly once | on the other app server |",
);
console.log("|---:|---|---:|---:|---:|---:|");
for (const { mode, clients, recovered, same, inOrder, moved } of rows) {
  console.log(`| ${clients} | ${mode} | ${[recovered, same, inOrder, moved].map(percent).join(" | ")} |`);
}
process.exit(fates.every(({ recovered, same, inOrder }) => recovered && same && inOrder) ? 0 : 1);
