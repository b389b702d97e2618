// What TLS costs: beside a plain port, and beside nginx that terminates TLS in front of a plain port.
//
//   node stress/tls.mjs [--clients 300] [--echoes 20000] [--handshakes 1000] [--deliveries 100] [--rounds 3]
//
// For each way in, alternating in rounds: heap of the node per idle WebSocket session, and CPU time of the node (and of
// nginx) per handshake, per echo and per message delivered by a broadcast. The clients are this process. Medians.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { Agent } from "node:https";
import { connect as connectPlain, createServer } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { parseArgs } from "node:util";
import { WebSocket } from "ws";
import { until } from "../../testing/wait.mjs";
import { startApp } from "../harness/app.mjs";
import { Authority } from "../harness/certificates.mjs";
import { startNode } from "../harness/node.mjs";

const { values } = parseArgs({
  options: {
    clients: { type: "string", default: "300" },
    echoes: { type: "string", default: "20000" },
    handshakes: { type: "string", default: "1000" },
    deliveries: { type: "string", default: "100" },
    rounds: { type: "string", default: "3" },
  },
});
const [clients, echoes, handshakes, deliveries, rounds] = Object.values(values).map(Number);
const TICKS_PER_S = 100;
const authority = new Authority();
const { certFile, keyFile } = authority.sign("own", { names: ["localhost"] });
const ca = authority.pem;

/** CPU time of processes in microseconds. */
const cpu = (pids) =>
  pids.reduce((sum, pid) => {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
    return sum + ((Number(fields[11]) + Number(fields[12])) * 1e6) / TICKS_PER_S;
  }, 0);
const children = (pid) =>
  readdirSync("/proc").filter((one) => {
    try {
      return (
        /^\d+$/.test(one) && readFileSync(`/proc/${one}/stat`, "utf8").split(") ")[1].split(" ")[1] === String(pid)
      );
    } catch {
      return false;
    }
  });

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

async function startNginx(port, upstream) {
  const folder = join(authority.folder, `nginx-${port}`);
  mkdirSync(folder);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((one) => `${one}_temp_path ${folder};`)
    .join(" ");
  const conf = `
    daemon off; pid ${folder}/pid; error_log ${folder}/error.log; worker_processes 1; worker_rlimit_nofile 8192;
    events { worker_connections 4096; }
    http {
      access_log off; ${temporary}
      map $http_upgrade $connection_upgrade { default upgrade; "" ""; }
      upstream node { server 127.0.0.1:${upstream}; keepalive 64; }
      server {
        listen 127.0.0.1:${port} ssl; ssl_certificate ${certFile}; ssl_certificate_key ${keyFile};
        ssl_protocols TLSv1.2 TLSv1.3;
        location / {
          proxy_pass http://node; proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 120s;
          proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; proxy_set_header Host $host;
        }
      }
    }`;
  writeFileSync(join(folder, "nginx.conf"), conf);
  const child = spawn("nginx", ["-c", join(folder, "nginx.conf"), "-p", folder], { stdio: "ignore" });
  await until("nginx", () => children(child.pid).length > 0);
  return { child, pids: () => [child.pid, ...children(child.pid)] };
}

/** One way in: its address, and the processes that it keeps busy. */
async function start(kind) {
  const args = ["--trunk-listen", "127.0.0.1:0"];
  if (kind === "tls") args.push("--tls-cert-file", certFile, "--tls-key-file", keyFile);
  const node = await startNode({ args });
  const app = await startApp({ name: kind, trunkline: { endpoint: `http://${node.ready.trunk_listen}` } });
  const pids = [node.child.pid];
  if (kind !== "nginx") return { kind, node, app, port: node.port, pids: () => pids };
  const port = await freePort();
  const nginx = await startNginx(port, node.port);
  return { kind, node, app, port, nginx, pids: () => [...pids, ...nginx.pids()] };
}

const heap = async ({ node }) => (await node.metrics()).get("trunkline_memory_heap_bytes");
const isPlain = ({ kind }) => kind === "plain";

async function open(way, agent) {
  const scheme = isPlain(way) ? "ws" : "wss";
  const socket = new WebSocket(`${scheme}://localhost:${way.port}/socket.io/?EIO=4&transport=websocket`, {
    ca,
    agent,
    perMessageDeflate: false,
    family: 4,
  });
  await once(socket, "message");
  socket.send("40");
  await once(socket, "message");
  socket.on("message", (data) => {
    if (String(data) === "2") socket.send("3");
  });
  return socket;
}

async function openAll(way) {
  const agent = isPlain(way) ? undefined : new Agent({ ca, maxCachedSessions: 0 });
  const all = [];
  for (let index = 0; index < clients; index += 1) all.push(await open(way, agent));
  return all;
}

/** CPU per unit while `work` runs. */
async function costs(way, units, work) {
  const before = cpu(way.pids());
  await work();
  return (cpu(way.pids()) - before) / units;
}

async function measure(way) {
  const before = await heap(way);
  const sockets = await openAll(way);
  await new Promise((done) => setTimeout(done, 1500));
  const idle = ((await heap(way)) - before) / clients;
  const echo = await costs(way, echoes, async () => {
    const each = Math.ceil(echoes / clients);
    await Promise.all(
      sockets.map(
        (socket) =>
          new Promise((done) => {
            let left = each;
            const say = () => socket.send(`421["echo","${"x".repeat(40)}"]`);
            const hear = (data) => {
              if (!String(data).startsWith("431")) return;
              left -= 1;
              if (left > 0) return say();
              socket.off("message", hear);
              done();
            };
            socket.on("message", hear);
            say();
          }),
      ),
    );
  });
  const delivery = await costs(way, deliveries * clients, async () => {
    let heard = 0;
    for (const socket of sockets) {
      socket.on("message", (data) => {
        if (String(data).startsWith('42["news"')) heard += 1;
      });
    }
    for (let index = 0; index < deliveries; index += 1) {
      await way.app.run(({ io }) => void io.emit("news", "y".repeat(60)));
    }
    await until("all of them", () => heard >= deliveries * clients);
  });
  for (const socket of sockets) socket.terminate();
  const handshake = await costs(way, handshakes, async () => {
    for (let index = 0; index < handshakes; index += 1) {
      const to = { port: way.port, host: "127.0.0.1", servername: "localhost", ca };
      const socket = isPlain(way) ? connectPlain(to) : connectTls(to);
      socket.write("GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
      socket.resume();
      await once(socket, "end");
      socket.destroy();
    }
  });
  return { "heap B/idle session": idle, "µs/handshake": handshake, "µs/echo": echo, "µs/delivery": delivery };
}

const ways = [];
const figures = new Map();
try {
  for (const kind of ["plain", "tls", "nginx"]) ways.push(await start(kind));
  for (let round = 0; round < rounds; round += 1) {
    for (const way of ways) {
      for (const [what, figure] of Object.entries(await measure(way))) {
        const key = `${way.kind} ${what}`;
        figures.set(key, [...(figures.get(key) ?? []), figure]);
      }
    }
  }
} finally {
  for (const { nginx, app, node } of ways) {
    nginx?.child.kill();
    await app.stop();
    await node.stop();
  }
  authority.remove();
}
for (const [key, all] of figures) {
  const sorted = all.toSorted((a, b) => a - b);
  console.log(
    `${key.padEnd(28)} ${sorted[Math.floor(sorted.length / 2)].toFixed(1)}   (${sorted.map((one) => one.toFixed(1)).join(" ")})`,
  );
}
