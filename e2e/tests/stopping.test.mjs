// A node that is told to end while others do not do their part.
import assert from "node:assert/strict";
import { once } from "node:events";
import test from "node:test";
import { within } from "../harness/until.mjs";
import { PLAIN, TRANSPORTS, World } from "../harness/world.mjs";

const unlessPlain = PLAIN ? test.skip : test;

unlessPlain("an app server that hangs does not keep a node beyond its drain", async () => {
  const world = await World.start({ args: ["--drain", "1s"] });
  const app = world.app("amber");
  try {
    const clients = [await world.client("/", TRANSPORTS.polling), await world.client("/", TRANSPORTS.websocket)];
    const gone = clients.map((client) => once(client, "disconnect"));
    app.child.kill("SIGSTOP");
    const ended = once(world.node.child, "exit");
    world.node.child.kill("SIGTERM");
    await within("the ends of the clients", Promise.all(gone));
    const [code] = await within("the end of the node", ended);
    assert.equal(code, 0);
    // Its clients are closed within the time of the drain; their ends are confirmed by nobody.
    assert.doesNotMatch(world.node.log.text, /deadline of the drain has passed/);
    assert.match(world.node.log.text, /trunkline has stopped/);
  } finally {
    app.child.kill("SIGCONT");
    await world.stop();
  }
});
