// The first command of a new user, as it is typed, with a binary that is built already.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import test from "node:test";
import { io } from "socket.io-client";
import { next, until } from "../../testing/wait.mjs";
import { Log } from "../harness/log.mjs";
import { BINARY } from "../harness/node.mjs";
import { ROOT } from "./blocks.mjs";

test("`cargo xtask demo`: says how far it is, what to open, and ends with Ctrl-C", async () => {
  const child = spawn("cargo", ["xtask", "demo", "--binary", BINARY], {
    cwd: ROOT,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const log = new Log("demo", child);
  const ended = once(child, "exit");
  let client;
  try {
    await until("its first word", () => log.lines.some((line) => line.startsWith("The demo builds")));
    const ready = await until(
      "what to open",
      () => {
        if (child.exitCode !== null) throw new Error(log.text);
        return /Ready\. Open +(http:\S+)/.exec(log.text);
      },
      { withinMs: 240_000 },
    );
    const steps = log.lines.filter((line) => /^\[\d\/\d\] /.test(line)).map((line) => line.slice(0, 5));
    assert.deepEqual(steps, ["[1/3]", "[2/3]", "[3/3]"]);
    assert.match(await (await fetch(ready[1])).text(), /<html/i);

    const [, url] = await until("where clients connect", () => /Clients connect to (http:\S+),/.exec(log.text));
    client = io(url, { forceNew: true, auth: { id: "a visitor", name: "Ada", room: "lobby" } });
    await next(client, "connect");
    const [, metrics] = /curl (http:\S+)/.exec(log.text);
    assert.equal((await fetch(metrics)).status, 200);
    assert.match(log.text, /kill -9 \d+/);
  } finally {
    client?.disconnect();
    // To the whole group, as a terminal does for Ctrl-C.
    process.kill(-child.pid, "SIGINT");
    await ended;
  }
  assert.equal(child.exitCode, 0, log.text);
  assert.ok(log.lines.includes("stopped."), log.text);
});

test("every command of xtask explains itself", () => {
  for (const [command, wanted] of [
    ["demo", "--binary FILE"],
    ["test", "Steps, and how long each usually takes:"],
    ["tidy", "one version everywhere"],
  ]) {
    const { status, stdout } = spawnSync("cargo", ["xtask", command, "--help"], { cwd: ROOT, encoding: "utf8" });
    assert.equal(status, 0, command);
    assert.ok(stdout.includes(wanted), stdout);
  }
  const wrong = spawnSync("cargo", ["xtask", "demo", "checkers"], { cwd: ROOT, encoding: "utf8" });
  assert.equal(wrong.status, 1);
  assert.match(wrong.stdout, /`checkers` is not known/);
});
