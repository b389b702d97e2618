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

test("`cargo xtask cluster`: three nodes, of which one is killed, and NATS too; a second Ctrl-C ends all that it started", async () => {
  const child = spawn("cargo", ["xtask", "cluster", "--binary", BINARY], {
    cwd: ROOT,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const log = new Log("cluster", child);
  const ended = once(child, "exit");
  const clients = [];
  let processes = [];
  try {
    const ready = await until(
      "what to open",
      () => {
        if (child.exitCode !== null) throw new Error(log.text);
        return /Ready\. Open +(http:\S+)/.exec(log.text);
      },
      { withinMs: 240_000 },
    );
    assert.match(await (await fetch(ready[1])).text(), /<html/i);
    const [, url] = await until("where clients connect", () => /Clients connect to (http:\S+),/.exec(log.text));
    const [, list] = await until("the processes", () => /Processes: (.*)\. Ctrl-C/.exec(log.text));
    processes = list.split(", ").map((one) => one.split(" "));
    assert.deepEqual(
      processes.map(([name]) => name),
      ["NATS", "north", "east", "south", "HAProxy", "amber", "cobalt", "page"],
    );
    for (let number = 0; number < 6; number += 1) {
      const client = io(url, { forceNew: true, auth: { id: `visitor ${number}`, name: "Ada", room: "lobby" } });
      clients.push(client);
      await next(client, "connect");
    }
    await until("all are upgraded", () => clients.every((client) => client.io.engine.transport.name === "websocket"));
    await until("the line of clients", () => /clients: north \d+, east \d+, south \d+,/.test(log.text));

    const pid = (name) => Number(processes.find(([one]) => one === name)[1]);
    assert.match(log.text, new RegExp(`kill -9 ${pid("north")}\\b`));
    process.kill(pid("north"), "SIGKILL");
    await until("the news of its end", () =>
      log.lines.some((line) => /its clients reconnect, at east, south/.test(line)),
    );
    await until("all clients elsewhere", () => clients.every(({ connected }) => connected));
    process.kill(pid("NATS"), "SIGKILL");
    await until("what that means", () => log.lines.some((line) => /cannot reach one another/.test(line)));
    await until(
      "an answer all the same",
      async () => (await clients[0].timeout(1_000).emitWithAck("enter", "lobby")).room,
    );
    // It does not end when it is asked to.
    process.kill(pid("cobalt"), "SIGSTOP");
  } finally {
    for (const client of clients) client.disconnect();
    process.kill(-child.pid, "SIGINT");
    await until("the offer to hurry", () => child.exitCode !== null || log.text.includes("Ctrl-C again"));
    if (child.exitCode === null) process.kill(-child.pid, "SIGINT");
    await ended;
  }
  assert.equal(child.exitCode, 0, log.text);
  assert.ok(log.lines.includes("stopped."), log.text);
  for (const [name, pid] of processes) assert.throws(() => process.kill(Number(pid), 0), /ESRCH/, `${name} has ended`);
});

test("every command of xtask explains itself", () => {
  for (const [command, wanted] of [
    ["demo", "--binary FILE"],
    ["cluster", "`nats-server` and `haproxy` must be installed"],
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
