// The order of all messages, under load: `node stress/order.mjs [--seeds 20] [--first 1] [--clients 200] [--rounds 4]
// [--turns 110] [--operations 900] [--threads 1,2,4] [--no-broadcast-acks] [--keep FOLDER]`. One line per seed, with
// violations below it; exit code 1 when there are any.
//
// `E2E_PLAIN=1`: against plain Socket.IO with one app server, to check that the oracle expects what Socket.IO does.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { check } from "./order_oracle.mjs";
import { run } from "./order_run.mjs";

const VIOLATIONS_SHOWN = 10;
const { values: options } = parseArgs({
  options: {
    seeds: { type: "string", default: "20" },
    first: { type: "string", default: "1" },
    clients: { type: "string", default: "200" },
    rounds: { type: "string", default: "4" },
    turns: { type: "string", default: "110" },
    operations: { type: "string", default: "900" },
    // The numbers of threads that nodes have, in turn.
    threads: { type: "string", default: "1,2,4" },
    // Leaves out broadcasts with acknowledgements.
    "no-broadcast-acks": { type: "boolean", default: false },
    // The folder for the logs of seeds with violations.
    keep: { type: "string" },
  },
});
const threads = options.threads.split(",").map(Number);
const total = { operations: 0, deliveries: 0, foreign: 0, lives: 0, violations: 0 };

for (let seed = Number(options.first); seed < Number(options.first) + Number(options.seeds); seed += 1) {
  const setting = {
    seed,
    threads: threads[seed % threads.length],
    clients: Number(options.clients),
    rounds: Number(options.rounds),
  };
  const started = performance.now();
  const size = { turns: Number(options.turns), clientOperations: Number(options.operations) };
  const record = await run({ ...setting, ...size, broadcastAcks: !options["no-broadcast-acks"] });
  const { violations, ...counts } = check(record);
  violations.push(...record.problems);
  for (const [name, count] of Object.entries({ ...counts, lives: record.lives.length, violations: violations.length }))
    total[name] += count;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const what = `${record.lives.length} sockets, ${counts.operations} operations, ${counts.deliveries} deliveries checked`;
  console.log(`seed ${seed}, ${setting.threads} threads: ${what}, ${violations.length} violations (${seconds} s)`);
  for (const violation of violations.slice(0, VIOLATIONS_SHOWN)) console.log(`  ${violation}`);
  if (violations.length > 0 && options.keep) keep(seed, record);
}
console.log(
  `${options.seeds} seeds (${options.first} and up): ${total.operations} operations run, ${total.deliveries} deliveries checked, ` +
    `${total.foreign} broadcasts of the other app server placed, ${total.lives} sockets, ${total.violations} violations`,
);
process.exit(total.violations === 0 ? 0 : 1);

function keep(seed, record) {
  mkdirSync(options.keep, { recursive: true });
  const file = join(options.keep, `order-${seed}.json`);
  writeFileSync(file, JSON.stringify(record));
  console.log(`  kept: ${file}`);
}
