// The attacks themselves, each with an end: `run` gets a port and a deadline. Started by `attacks.mjs` as a process of
// its own.
import { deflateRawSync } from "node:zlib";
import { Raw, openSession, upgradeHead } from "../harness/wire.mjs";
import { WsClient, quickFrame } from "../harness/ws_client.mjs";

const POLL = "EIO=4&transport=polling";
const SOCKET = "/socket.io/?EIO=4&transport=websocket";
const OFFER = { "Sec-WebSocket-Extensions": "permessage-deflate; client_no_context_takeover" };
const MB = 1_000_000;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const over = (until) => Date.now() >= until;
const each = (count, make) => Promise.all(Array.from({ length: count }, (_, number) => make(number)));
const head = (method, query, headers = "") => `${method} /socket.io/?${query} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`;

/** A POST over a stream of its own; the answer, or nothing when none came in time. */
async function posted(port, sid, body, until) {
  const raw = new Raw(port);
  raw.write(head("POST", `${POLL}&sid=${sid}`, `Connection: close\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n`));
  raw.write(body);
  await Promise.race([raw.end, pause(Math.max(0, until - Date.now()))]);
  raw.destroy();
  return raw.status;
}

/** A polling session with its socket, that has read what there was. */
async function session(port) {
  const node = { url: `http://127.0.0.1:${port}` };
  const sid = await openSession(node);
  await (await fetch(`${node.url}/socket.io/?${POLL}&sid=${sid}`)).text();
  return sid;
}

/** A compressed text message, masked with a key of zeros. */
function deflated(text) {
  const data = deflateRawSync(text, { finishFlush: 2 }).subarray(0, -4);
  const short = data.length <= 125;
  const start = Buffer.alloc(short ? 6 : 8);
  start[0] = 0xc1;
  start[1] = 0x80 | (short ? data.length : 126);
  if (!short) start.writeUInt16BE(data.length, 2);
  return Buffer.concat([start, data]);
}

/** Writes as fast as the stream takes it, until it ends or the time is over. */
async function pour(socket, chunk, until) {
  let ended = false;
  socket.once("close", () => (ended = true));
  while (!over(until) && !ended) {
    if (socket.write(chunk)) await pause(0);
    else await Promise.race([new Promise((done) => socket.once("drain", done)), pause(Math.max(0, until - Date.now()))]);
  }
}

async function websockets(port, count, headers) {
  return each(count, async () => {
    const client = new WsClient(port, SOCKET, { headers });
    await client.opened();
    client.text("40");
    return client;
  });
}

/** Asks for much and, unless `reads`, does not read it. Again and again: who is cut off comes back. */
async function asks(port, bytes, kind, { count, reads, until }) {
  let asked = 0;
  await each(count, async () => {
    while (!over(until)) {
      try {
        const sid = await session(port);
        await posted(port, sid, `42["much",${bytes},"${kind}"]`, until);
        asked += 1;
        const raw = new Raw(port);
        if (reads) raw.socket.on("data", () => (raw.received = Buffer.alloc(0)));
        else raw.socket.pause();
        raw.write(head("GET", `${POLL}&sid=${sid}`, `Accept-Encoding: ${reads ? "gzip" : "identity"}\r\nConnection: close\r\n`));
        await Promise.race([raw.end, pause(Math.max(0, until - Date.now()))]);
        raw.destroy();
      } catch {
        await pause(100);
      }
    }
  });
  return `${asked} answers asked for`;
}

export const ATTACKS = {
  "answers-unread": {
    what: "300 polling clients ask for 5 MB each and never read it; the ceiling of memory is 512 MiB",
    args: () => ["--memory-bytes-max", "512MiB"],
    run: (port, until) => asks(port, 5 * MB, "plain", { count: 300, reads: false, until }),
  },
  "payload-flood": {
    what: "100 posts of 1 MB at once, again and again: of two-byte messages, and of the smallest events",
    run: async (port, until) => {
      const tiny = Buffer.from(Array(333_000).fill("4x").join("\u001e"));
      const events = Buffer.from(Array(111_000).fill('42["a"]').join("\u001e"));
      let posts = 0;
      await each(100, async (number) => {
        while (!over(until)) {
          const sid = await session(port).catch(() => pause(100));
          if (sid) await posted(port, sid, number % 2 ? tiny : events, until);
          posts += 1;
        }
      });
      return `${posts} posts`;
    },
  },
  logs: {
    what: "refused tunnels and trunks, as many as fit, while nobody reads the node's log",
    unreadLog: true,
    run: async (port, until) => {
      const lines = [upgradeHead("/server/tunnel?hub=default"), upgradeHead("/server/tunnel?hub=nobody"), upgradeHead("/trunk/v1")];
      let refused = 0;
      await each(50, async (number) => {
        while (!over(until)) {
          const raw = new Raw(port).write(lines[number % lines.length]);
          await Promise.race([new Promise((done) => raw.socket.once("data", done)), raw.end, pause(1_000)]);
          raw.destroy();
          refused += 1;
        }
      });
      return `${refused} requests`;
    },
  },
  reserve: {
    what: "strangers who ask for a trunk without a token hold every stream that they can get",
    // So many for the clients and what is beside them, and some 1,700 for strangers.
    args: (clients) => ["--streams-max", String(clients + 1_750), "--header-timeout", "10s"],
    run: async (port, until) => {
      const request = "GET /trunk/v1 HTTP/1.1\r\nHost: x\r\n\r\n";
      let asked = 0;
      await each(2_200, async (number) => {
        await pause(number / 2);
        while (!over(until)) {
          const raw = new Raw(port);
          while (!over(until) && !raw.ended) {
            raw.write(request);
            asked += 1;
            await Promise.race([raw.end, pause(500 + Math.random() * 500)]);
          }
          raw.destroy();
          await pause(200 + Math.random() * 300);
        }
      });
      return `${asked} requests`;
    },
  },
  compression: {
    what: "20 polling clients ask for 12 MB each, compressed, and read it; again and again",
    run: (port, until) => asks(port, 12 * MB, "dense", { count: 20, reads: true, until }),
  },
  inflation: {
    what: "50 WebSockets pour frames of 1 KB that inflate to 1 MB of pongs or noops",
    options: { perMessageDeflate: { threshold: 1024 } },
    run: async (port, until) => {
      const chunk = Buffer.concat(Array(30).fill([deflated(`3${"p".repeat(990_000)}`), deflated(`6${"n".repeat(990_000)}`)]).flat());
      const clients = await websockets(port, 50, OFFER);
      await each(50, (number) => pour(clients[number].socket, chunk, until));
      return "";
    },
  },
  idle: {
    what: "50 WebSockets pour pings, pongs, noops and empty parts of messages",
    run: async (port, until) => {
      const control = (opcode) => Buffer.from([0x80 | opcode, 0x80, 0, 0, 0, 0]);
      const part = (opcode) => Buffer.from([opcode, 0x80, 0, 0, 0, 0]);
      const kinds = [[control(9)], [control(10)], [quickFrame(1, "6")], [quickFrame(1, "3")]].map((frames) => Buffer.concat(Array(5_000).fill(frames).flat()));
      const parts = Buffer.concat([part(1), ...Array(5_000).fill(part(0)), Buffer.from([0x80, 0x82, 0, 0, 0, 0, 0x34, 0x36])]);
      const clients = await websockets(port, 50);
      await each(50, (number) => pour(clients[number].socket, [...kinds, parts][number % 5], until));
      return "";
    },
  },
  preflights: {
    what: "50 streams with one preflight after another",
    run: async (port, until) => {
      let asked = 0;
      await each(50, async () => {
        const raw = new Raw(port);
        raw.socket.on("data", () => (raw.received = Buffer.alloc(0)));
        while (!over(until) && !raw.ended) {
          raw.write(head("OPTIONS", POLL, "Origin: http://x\r\n"));
          asked += 1;
          await Promise.race([new Promise((done) => raw.socket.once("data", done)), raw.end, pause(1_000)]);
        }
        raw.destroy();
      });
      return `${asked} requests`;
    },
  },
};

if (process.send && ATTACKS[process.argv[2]]) {
  const [name, port, seconds] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
  process.on("disconnect", () => process.exit());
  process.on("message", async () => {
    const note = await ATTACKS[name].run(port, Date.now() + seconds * 1_000);
    process.send({ kind: "done" });
    process.send({ kind: "note", note });
  });
}
