// Streams between requests: how long they are kept, and which of their ends count as nobody's fault.
import assert from "node:assert/strict";
import { engineUrl } from "../../testing/engine.mjs";
import { requestText } from "../../testing/http.mjs";
import { RawStream } from "../../testing/stream.mjs";
import { until } from "../../testing/wait.mjs";
import { inArena } from "../harness/arena.mjs";

const ask = (method, path, body = "") => requestText(method, path, { headers: { "content-type": "text/plain" }, body });

/** The statuses of the answers so far. */
const statuses = ({ responses }) => responses.map(({ status }) => status);

/** One request of each kind that leaves its stream open. */
const kinds = (sid) => ({
  handshake: [ask("GET", engineUrl()), 200],
  post: [ask("POST", engineUrl({ sid }), "40"), 200],
  preflight: [ask("OPTIONS", "/socket.io/"), 400],
  refused: [ask("GET", engineUrl({ transport: "pigeon" })), 400],
  "unknown path": [ask("GET", "/nowhere"), 404],
  "a side door's": [ask("GET", "/api/health"), 200],
});

/** Waits until a silent stream has been closed: by then the time for a request's head has passed. */
const headTimeIsOver = (arena) => new RawStream(arena.node.port).closed();

const SHORT_HEADS = { args: ["--header-timeout", "300ms"] };

inArena(
  "a stream is kept for another request whatever the last one was, and longer than a head may take",
  SHORT_HEADS,
  async (arena) => {
    const app = await arena.app({ refuses: true, settings: { pingInterval: 300_000 } });
    const { sid } = await arena.polling(app);
    for (const [kind, [text, status]] of Object.entries(kinds(sid))) {
      const stream = new RawStream(arena.node.port).write(text);
      await until(`an answer: ${kind}`, () => statuses(stream).length === 1);
      assert.deepEqual(statuses(stream), [status], `${kind}: ${stream.text}`);
      await headTimeIsOver(arena);
      stream.write(text);
      await until(`a second answer: ${kind}`, () => statuses(stream).length === 2 || stream.ended);
      assert.deepEqual(statuses(stream), [status, status], `${kind}: ${stream.text}`);
      stream.destroy();
    }
  },
);

inArena("a head that stops half-way on a stream that was used gets 408", SHORT_HEADS, async (arena) => {
  const stream = new RawStream(arena.node.port).write(ask("GET", "/nowhere"));
  await until("an answer", () => statuses(stream).length === 1);
  stream.write("GET /nowhere HTTP/1.1\r\nHos");
  await stream.closed();
  assert.deepEqual(statuses(stream), [404, 408]);
  await arena.counted(/streams_refused_total\{cause="header_timeout"/, 1);
});

const SHORT_REST = { args: ["--keep-alive-timeout", "300ms", "--header-timeout", "20s"] };

inArena(
  "a stream that is kept too long is closed without a word and without being counted",
  SHORT_REST,
  async (arena) => {
    const app = await arena.app({ refuses: true, settings: { pingInterval: 300_000 } });
    const { sid } = await arena.polling(app);
    for (const [kind, [text, status]] of Object.entries(kinds(sid))) {
      const stream = new RawStream(arena.node.port).write(text);
      await stream.closed();
      assert.deepEqual(statuses(stream), [status], `${kind}: ${stream.text}`);
    }
    assert.equal(await faults(arena), 0);
  },
);

/** The streams that were counted as refused or broken. */
const faults = async (arena) =>
  (await arena.count(/streams_refused_total/)) + (await arena.count(/streams_broken_total/));

inArena(
  "ends between requests are ordinary, resets included; those inside of a request are counted",
  {},
  async (arena) => {
    const app = await arena.app({ settings: { pingInterval: 300_000 } });
    const { sid } = await arena.polling(app);
    const open = async () => (await arena.node.metrics()).get("trunkline_edge_streams");
    const before = await open();
    const ends = { FIN: (raw) => raw.finish(), RST: (raw) => raw.reset() };
    for (const [how, end] of Object.entries(ends)) {
      for (const first of [
        "",
        ask("GET", "/nowhere"),
        ask("POST", engineUrl({ sid }), "40"),
        ask("GET", "/api/health"),
      ]) {
        const stream = new RawStream(arena.node.port).write(first);
        await until("the stream", async () => (await open()) > before);
        await until("an answer", () => first === "" || statuses(stream).length > 0);
        end(stream);
        await until(`the end by ${how}`, async () => (await open()) === before);
      }
    }
    assert.equal(await faults(arena), 0);
    const half = new RawStream(arena.node.port).write("GET /nowhere HT");
    await until("the stream", async () => (await open()) > before);
    half.reset();
    await arena.counted(/streams_broken_total/, 1);
  },
);
