// RFC 6455 and RFC 7692, case by case: `node rfc6455.mjs` prints the same cases as a table.
import assert from "node:assert/strict";
import { casesOf, play, TABLES } from "../harness/rfc6455.mjs";
import { inWorld } from "../harness/test.mjs";

for (const { options, offer, table } of TABLES) {
  inWorld(offer ? "RFC 7692" : "RFC 6455", { options, trunklineOnly: true }, (test) => {
    for (const one of casesOf(table))
      test(`${one.section}: ${one.name}`, async (world) => {
        const port = Number(new URL(world.url).port);
        assert.equal(await play(port, one, offer), one.expected);
      });
  });
}
