// Session ids of every shape that were never given out: each is answered as plain Socket.IO answers an unknown one, the
// connection goes on, and nothing in the node breaks.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { engineUrl, PollingSession, socketUrl } from "../../testing/engine.mjs";
import { requestText } from "../../testing/http.mjs";
import { RawStream } from "../../testing/stream.mjs";
import { until } from "../../testing/wait.mjs";
import { upgradeHead } from "../../testing/websocket.mjs";
import { inWorld } from "../harness/test.mjs";
import { PLAIN } from "../harness/world.mjs";

const UNKNOWN = { code: 1, message: "Session ID unknown" };

const port = (world) => (PLAIN ? Number(new URL(world.url).port) : world.node.port);

/** Changes of a real sid's 21 bytes: node (2), shard (1), slot (3), secret (15). */
const CHANGES = {
  "another node": (bytes) => (bytes[0] ^= 0xff),
  "a shard that is not there": (bytes) => (bytes[2] = 2),
  "the last shard": (bytes) => (bytes[2] = 255),
  "the other shard": (bytes) => (bytes[2] ^= 1),
  "a free slot": (bytes) => bytes.writeUIntBE(4711, 3, 3),
  "the last slot": (bytes) => bytes.writeUIntBE(0xff_ff_ff, 3, 3),
  "another secret": (bytes) => (bytes[20] ^= 1),
  "nothing but zeros": (bytes) => bytes.fill(0),
  "nothing but ones": (bytes) => bytes.fill(0xff),
};

/** Texts that resemble a sid, and others. */
function shapes(sid) {
  const changed = Object.entries(CHANGES).map(([name, change]) => {
    const bytes = Buffer.from(sid, "base64url");
    change(bytes);
    return [name, bytes.toString("base64url")];
  });
  const random = Array.from({ length: 24 }, (_, number) => [`random ${number}`, randomBytes(21).toString("base64url")]);
  const others = [
    "x",
    "%00",
    "%F0%9F%98%80".repeat(7),
    "a".repeat(27),
    "a".repeat(29),
    `${sid}A`,
    sid.slice(0, -1),
    "-".repeat(28),
    "_".repeat(28),
  ];
  return [...changed, ...random, ...others.map((text) => [`text ${text.slice(0, 30)}`, text])];
}

/** The address of a session, with the sid exactly as it is. */
const rawUrl = (sid) => `${engineUrl()}&sid=${sid}`;

/** Requests with a sid; every answer leaves the connection open, except answers to upgrades. */
const QUESTIONS = {
  poll: (sid) => requestText("GET", rawUrl(sid)),
  "the head of a poll": (sid) => requestText("HEAD", rawUrl(sid)),
  post: (sid) => requestText("POST", rawUrl(sid), { headers: { "content-type": "text/plain" }, body: "40" }),
  upgrade: (sid) => upgradeHead(`${socketUrl()}&sid=${sid}`),
};

/** An answer's status, and its body if a length is given. */
async function answerOf(raw) {
  const head = await until(
    "an answer",
    () => {
      if (raw.text.includes("\r\n\r\n")) return raw.text.split("\r\n\r\n")[0];
      if (raw.ended) throw new Error(`the connection was cut: ${raw.text}`);
      return undefined;
    },
    { withinMs: 5000, everyMs: 1 },
  );
  const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
  return { status: raw.status, head, length };
}

inWorld("session ids of strangers", { threads: 2, trunklineOnly: true }, (check) => {
  for (const [question, ask] of Object.entries(QUESTIONS)) {
    check(`${question}: unknown, whatever the sid looks like`, async (world) => {
      const own = await PollingSession.open(port(world), { join: true });
      for (const [name, sid] of shapes(own.sid)) {
        const raw = new RawStream(port(world)).write(ask(sid));
        const { status, head, length } = await answerOf(raw);
        if (question === "the head of a poll") {
          assert.ok([400, 500].includes(status), `${name}: ${head}`);
        } else {
          assert.equal(status, 400, `${name}: ${head}`);
          const body = await until(
            "the body",
            () => {
              const text = raw.text.slice(raw.text.indexOf("\r\n\r\n") + 4);
              return text.length >= length && text;
            },
            { everyMs: 1 },
          );
          // npm's `abortUpgrade` answers upgrades with the message alone.
          if (question === "upgrade") assert.equal(body, UNKNOWN.message, name);
          else assert.deepEqual(JSON.parse(body), UNKNOWN, name);
        }
        if (question === "poll") {
          // The connection works as before.
          raw.received = Buffer.alloc(0);
          raw.write(ask(sid));
          assert.equal((await answerOf(raw)).status, 400, `${name}: again`);
        }
        raw.destroy();
      }
      assert.equal((await own.post('42["repeat",1]')).body, "ok", "a real session goes on");
      if (!PLAIN) assert.equal(world.node.log.count(/panic/), 0, "nothing in the node broke");
    });
  }
});
