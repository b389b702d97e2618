// Runs the blocks of docs/operate/proxies.md in the real programs.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, connect } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { until } from "../../testing/wait.mjs";
import { Log } from "./log.mjs";

const PAGE = readFileSync(new URL("../../docs/operate/proxies.md", import.meta.url), "utf8");

/** The block under this heading. */
export function documented(heading) {
  const section = PAGE.split(/^#+ /m).find((part) => part.startsWith(`${heading}\n`));
  const block = section && /^```\w+\n([\s\S]*?)^```$/m.exec(section)?.[1];
  if (!block) throw new Error(`the page has no block under "${heading}"`);
  return block;
}

/** Makes each replacement exactly as often as given: a changed block is then noticed. */
export function adapted(block, replacements) {
  return replacements.reduce((text, [from, to, times = 1]) => {
    const pieces = text.split(from);
    if (pieces.length - 1 !== times) throw new Error(`${pieces.length - 1} times "${from}" in:\n${text}`);
    return pieces.join(to);
  }, block);
}

/** A port that is free now. */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
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

  async stop() {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const ended = once(this.child, "exit");
      this.child.kill("SIGTERM");
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

/** nginx with this block inside `http`. */
export function nginx(block, port) {
  const config = (folder) => `
    daemon off; pid ${folder}/pid; error_log stderr warn; worker_processes 1;
    events { worker_connections 4096; }
    http {
      access_log off;
      ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${folder}/${kind};`).join(" ")}
      ${block}
    }`;
  return Daemon.start("nginx", config, port, (file, folder) => ["-c", file, "-p", folder, "-e", "stderr"]);
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
