// Programs of others, each with a configuration file of its own: balancers, NATS.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, connect } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { Log } from "./log.mjs";
import { until } from "./wait.mjs";

/** Below the ports that the system gives to clients and to servers that ask for any port. */
const PORTS = { from: 10_000, count: 22_000 };
const given = new Set();

/** A port that is free now, and that nobody is given by accident before its server has started. */
export async function freePort() {
  for (;;) {
    const port = PORTS.from + Math.floor(Math.random() * PORTS.count);
    if (given.has(port)) continue;
    const server = createServer();
    const listening = once(server, "listening").then(
      () => true,
      () => false,
    );
    server.listen(port, "127.0.0.1");
    if (!(await listening)) continue;
    given.add(port);
    await new Promise((done) => server.close(done));
    return port;
  }
}

/** The path of a program: Debian keeps servers outside of ordinary users' search path. */
export function program(name) {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  const found = folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
  if (!found) throw new Error(`${name} is not installed: apt-get install ${name}`);
  return found;
}

/** Runs a program with a configuration file until `stop`; waits until `port` accepts connections. */
export class Daemon {
  static async start(name, config, port, args) {
    const folder = mkdtempSync(join(tmpdir(), `trunkline-${name}-`));
    const file = join(folder, "config");
    writeFileSync(file, config(folder));
    const child = spawn(program(name), args(file, folder), { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
    const daemon = new Daemon(name, child, folder, port);
    try {
      await until(`${name} on port ${port}`, () => {
        if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}`);
        return accepts(port);
      });
      return daemon;
    } catch (error) {
      error.message += `\n${daemon.log.text}`;
      await daemon.stop();
      throw error;
    }
  }

  constructor(name, child, folder, port) {
    Object.assign(this, { child, folder, port, url: `http://127.0.0.1:${port}`, log: new Log(name, child) });
  }

  async stop(signal = "SIGTERM") {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const ended = once(this.child, "exit");
      this.child.kill(signal);
      const hard = setTimeout(() => this.child.kill("SIGKILL"), 3_000);
      await ended;
      clearTimeout(hard);
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function accepts(port) {
  return new Promise((done) => {
    const socket = connect(port, "127.0.0.1", () => (socket.destroy(), done(true)));
    socket.on("error", () => done(false));
  });
}

/** HAProxy with this as its whole configuration. */
export function haproxy(block, port) {
  return Daemon.start(
    "haproxy",
    () => block,
    port,
    (file) => ["-db", "-f", file],
  );
}

/** A NATS server with these lines of configuration beside its port. */
export async function nats(config = "", port = undefined) {
  const own = port ?? (await freePort());
  const text = `host: 127.0.0.1\nport: ${own}\n${config}\n`;
  return Daemon.start(
    "nats-server",
    () => text,
    own,
    (file) => ["--config", file],
  );
}

/**
 * NATS servers that are one: each knows the routes to all. `more` is further configuration of each of them. `hidden`:
 * they do not name one another to their clients.
 */
export async function natsCluster(count, more = "", { hidden = false } = {}) {
  const [ports, routes] = [[], []];
  for (let number = 0; number < count; number += 1) {
    ports.push(await freePort());
    routes.push(await freePort());
  }
  const urls = routes.map((port) => `nats://127.0.0.1:${port}`).join(", ");
  const routed = (index) =>
    `cluster { name: test, host: 127.0.0.1, port: ${routes[index]}, routes: [${urls}], no_advertise: ${hidden} }`;
  const config = (index) => `server_name: n${index}\n${count > 1 ? routed(index) : ""}\n${more}`;
  const start = (index) => nats(config(index), ports[index]);
  const servers = await Promise.all(ports.map((_, index) => start(index)));
  /** Starts a server again that was stopped, at its old place. */
  servers.again = async (index) => {
    servers[index] = await start(index);
  };
  return servers;
}
