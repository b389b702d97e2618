// Prints RFC 6455 and RFC 7692 as a table of cases, expected and seen: `node rfc6455.mjs [--plain]`. `--plain` asks npm's
// `ws` in a plain Socket.IO server instead. Exit code 1 when something else is seen than expected.
if (process.argv.includes("--plain")) process.env.E2E_PLAIN = "1";
const { casesOf, play, TABLES } = await import("./harness/rfc6455.mjs");
const { World } = await import("./harness/world.mjs");

console.log("| Section | Sent | Expected | Seen |\n|---|---|---|---|");
let [held, other] = [0, 0];
for (const { options, offer, table } of TABLES) {
  const world = await World.start({ options });
  try {
    for (const one of casesOf(table)) {
      const seen = await play(Number(new URL(world.url).port), one, offer);
      if (seen === one.expected) held += 1;
      else other += 1;
      const row = [one.section, one.name, one.expected, seen === one.expected ? "the same" : `**${seen}**`];
      console.log(`| ${row.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`);
    }
  } finally {
    await world.stop();
  }
}
console.log(`\n${held} passed, ${other} failed`);
process.exitCode = other === 0 ? 0 : 1;
