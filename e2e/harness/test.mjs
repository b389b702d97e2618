import test, { after, afterEach, before, describe } from "node:test";
import { PLAIN, World } from "./world.mjs";

/** Tests that share one installation; each gets a world without clients. */
export function inWorld(what, settings, define) {
  if (PLAIN && settings.trunklineOnly) return;
  describe(what, () => {
    let world;
    before(async () => {
      world = await World.start(settings);
    });
    afterEach(() => world.closeClients());
    after(() => world?.stop());
    define((name, check) => {
      test(name, async () => {
        try {
          await check(world);
        } catch (error) {
          explain(error, world);
        }
      });
    });
  });
}

/** A test with an installation of its own. */
export function withWorld(name, settings, check) {
  if (PLAIN && settings.trunklineOnly) return;
  test(name, async () => {
    const world = await World.start(settings);
    try {
      await check(world);
    } catch (error) {
      explain(error, world);
    } finally {
      await world.stop();
    }
  });
}

function explain(error, world) {
  error.stack += `\n--- what the processes said ---\n${world.logs.split("\n").slice(-60).join("\n")}\n---`;
  throw error;
}
