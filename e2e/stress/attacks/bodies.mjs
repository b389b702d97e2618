// Answers and messages that are large, many, or more than they seem.
import { engineUrl, SEPARATOR } from "../../../testing/engine.mjs";
import { compressedFrame, encodeFrame, OPCODE, textFrame } from "../../../testing/frames.mjs";
import { requestText } from "../../../testing/http.mjs";
import { RawStream } from "../../../testing/stream.mjs";
import { upgradeHead } from "../../../testing/websocket.mjs";
import { each, over, pause, posted, pour, session, websockets } from "./tools.mjs";

const OFFER = { "sec-websocket-extensions": "permessage-deflate; client_no_context_takeover" };
const MB = 1_000_000;
const discard = () => {};

/** Asks for much and, unless `reads`, does not read it. A client that is cut off connects again. */
async function asks(port, bytes, kind, { count, reads, until }) {
  let asked = 0;
  await each(count, async () => {
    while (!over(until)) {
      try {
        const sid = await session(port);
        await posted(port, sid, `42["much",${bytes},"${kind}"]`, until);
        asked += 1;
        const raw = new RawStream(port);
        if (reads) raw.onBytes = discard;
        else raw.pause();
        const headers = { "accept-encoding": reads ? "gzip" : "identity", connection: "close" };
        raw.write(requestText("GET", engineUrl({ sid }), { headers }));
        await Promise.race([raw.end, pause(Math.max(0, until - Date.now()))]);
        raw.destroy();
      } catch {
        await pause(100);
      }
    }
  });
  return `${asked} answers asked for`;
}

export const BODIES = {
  "answers-unread": {
    what: "300 polling clients ask for 5 MB each and never read it; the ceiling of memory is 512 MiB",
    args: () => ["--memory-bytes-max", "512MiB"],
    named: /memory_full|streams_refused.*session_ended|sessions_closed/,
    run: (port, until) => asks(port, 5 * MB, "plain", { count: 300, reads: false, until }),
  },
  "payload-flood": {
    what: "100 posts of 1 MB at once, again and again: of two-byte messages, and of the smallest events",
    named: /sessions_closed|packets/,
    run: async (port, until) => {
      const tiny = Array(333_000).fill("4x").join(SEPARATOR);
      const events = Array(111_000).fill('42["a"]').join(SEPARATOR);
      let posts = 0;
      await each(100, async (number) => {
        while (!over(until)) {
          const sid = await session(port).catch(() => pause(100));
          if (sid && (await posted(port, sid, number % 2 ? tiny : events, until))) posts += 1;
        }
      });
      return `${posts} posts answered`;
    },
  },
  logs: {
    what: "refused tunnels and trunks, as many as fit, while nobody reads the node's log",
    unreadLog: true,
    named: /trunks_refused|calls_unauthorized|tunnels_refused/,
    run: async (port, until) => {
      const lines = [
        upgradeHead("/server/tunnel?hub=default"),
        upgradeHead("/server/tunnel?hub=nobody"),
        upgradeHead("/trunk/v1"),
      ];
      let refused = 0;
      await each(50, async (number) => {
        while (!over(until)) {
          const raw = new RawStream(port).write(lines[number % lines.length]);
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
    // Streams for the clients and what runs next to them, and about 1,700 for attackers.
    args: (clients) => ["--streams-max", String(clients + 1_750), "--header-timeout", "10s"],
    named: /streams_full/,
    run: async (port, until) => {
      const request = requestText("GET", "/trunk/v1");
      let asked = 0;
      await each(2_200, async (number) => {
        await pause(number / 2);
        while (!over(until)) {
          const raw = new RawStream(port);
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
    named: /answers_uncompressed/,
    run: (port, until) => asks(port, 12 * MB, "dense", { count: 20, reads: true, until }),
  },
  inflation: {
    what: "50 WebSockets pour frames of 1 KB that inflate to 1 MB of pongs or noops",
    options: { perMessageDeflate: { threshold: 1024 } },
    named: /edge_idle/,
    run: async (port, until) => {
      const chunk = Buffer.concat(
        Array(30)
          .fill([compressedFrame(`3${"p".repeat(990_000)}`), compressedFrame(`6${"n".repeat(990_000)}`)])
          .flat(),
      );
      const clients = await websockets(port, 50, { headers: OFFER });
      await each(50, (number) => pour(clients[number].socket, chunk, until));
      return "";
    },
  },
  idle: {
    what: "50 WebSockets pour pings, pongs, noops and empty parts of messages",
    named: /edge_idle/,
    run: async (port, until) => {
      const [noop, pong] = [textFrame("6"), textFrame("3")];
      const webSocketPing = encodeFrame({ opcode: OPCODE.ping });
      const webSocketPong = encodeFrame({ opcode: OPCODE.pong });
      const kinds = [webSocketPing, webSocketPong, noop, pong].map((frame) => Buffer.concat(Array(5_000).fill(frame)));
      const emptyPart = encodeFrame({ opcode: OPCODE.continuation, fin: false });
      const parts = Buffer.concat([
        encodeFrame({ fin: false }),
        ...Array(5_000).fill(emptyPart),
        encodeFrame({ opcode: OPCODE.continuation, payload: "46" }),
      ]);
      const clients = await websockets(port, 50);
      await each(50, (number) => pour(clients[number].socket, [...kinds, parts][number % 5], until));
      return "";
    },
  },
  preflights: {
    what: "50 streams with one preflight after another",
    named: /edge_idle.*preflight/,
    run: async (port, until) => {
      let asked = 0;
      await each(50, async () => {
        const raw = new RawStream(port);
        raw.onBytes = discard;
        while (!over(until) && !raw.ended) {
          raw.write(requestText("OPTIONS", engineUrl(), { headers: { origin: "http://x" } }));
          asked += 1;
          await Promise.race([new Promise((done) => raw.socket.once("data", done)), raw.end, pause(1_000)]);
        }
        raw.destroy();
      });
      return `${asked} requests`;
    },
  },
};
