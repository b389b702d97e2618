// A client from another project: python-socketio, from PyPI.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { until } from "../../testing/wait.mjs";
import { Log } from "../harness/log.mjs";
import { inWorld } from "../harness/test.mjs";

const PYTHON =
  process.env.E2E_PYTHON ?? fileURLToPath(new URL("../../target/xtask/python/bin/python", import.meta.url));
const SCRIPT = fileURLToPath(new URL("../apps/client.py", import.meta.url));

inWorld("python-socketio", { servers: ["amber", "cobalt"] }, (test) => {
  const cases = [
    ["polling", ["polling"], "polling"],
    ["websocket", ["websocket"], "websocket"],
    ["an upgrade", ["polling", "websocket"], "websocket"],
  ];
  for (const [name, transports, expected] of cases) {
    test(`over ${name}: auth, namespaces, events, acks, binary, rooms, disconnect`, async (world) => {
      const child = spawn(PYTHON, [SCRIPT, world.url, ...transports], { stdio: ["ignore", "pipe", "pipe"] });
      try {
        const log = new Log("python", child);
        const json = (number) => {
          if (child.exitCode) throw new Error(`it ended with ${child.exitCode}\n${log.text}`);
          return log.lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line))[number];
        };
        const { ready: id } = await until("the Python client", () => json(0));
        const seats = await Promise.all(
          world.apps.map((app) => app.run(({ io }, id) => io.sockets.sockets.has(id), id)),
        );
        const home = world.apps[seats.indexOf(true)];
        const elsewhere = world.apps.at(seats.indexOf(true) - 1);
        const auth = (await home.noted("connection", (note) => note.id === id)).auth;
        assert.deepEqual(auth, { token: "python" });

        const ask = ({ io }, id) => io.sockets.sockets.get(id).timeout(10_000).emitWithAck("question", 21);
        assert.deepEqual(await home.run(ask, id), { twice: 42 });
        // From the other app server, if there is one. Messages of two app servers to one client have no order, so wait
        // for the answer.
        await elsewhere.run(async ({ io }) => {
          io.to("club").emit("club", "hello club");
          await io
            .to("club")
            .timeout(10_000)
            .emitWithAck("bytes", { bytes: Buffer.from([0, 1, 255]) });
        });
        await home.run(async ({ io }, id) => {
          // Acknowledged: everything before it has arrived.
          await io.sockets.sockets.get(id).timeout(10_000).emitWithAck("question", 1);
          io.sockets.sockets.get(id).disconnect();
        }, id);

        const seen = await until("what it saw", () => json(1));
        assert.deepEqual(seen.echo, ["ünïcödé 🚂", [1, { two: null }]]);
        assert.equal(seen.namespace, "in /static");
        assert.deepEqual(seen.repeat, ["a", 1, [true, null]]);
        assert.equal(seen.binary, true);
        assert.equal(seen.joined, true);
        assert.equal(seen.club, "hello club");
        assert.deepEqual(seen.bytes, [true, [0, 1, 255]]);
        assert.equal(seen.transport, expected);
      } finally {
        if (child.exitCode === null) {
          child.kill("SIGKILL");
          await once(child, "exit");
        }
      }
    });
  }
});
