// What attacks have in common: who they come from, and how they go on until their time is over.
import { EngineSocket, engineUrl, PollingSession, socketUrl } from "../../../testing/engine.mjs";
import { requestText } from "../../../testing/http.mjs";
import { RawStream } from "../../../testing/stream.mjs";

/** One stranger, whose address has limits; the clients beside it, at 127.0.0.1, have none. */
export const STRANGER = { localAddress: "127.0.0.2" };
/** A different stranger each time: no limit of an address is met. */
export const anybody = () => ({ localAddress: `127.${1 + random(250)}.${random(256)}.${1 + random(250)}` });
/** The clients' own address, which has no limits: as many strangers as there are streams. */
export const NO_LIMITS = {};

export const random = (below) => Math.floor(Math.random() * below);
export const pause = (ms) => new Promise((done) => setTimeout(done, ms));
export const over = (until) => Date.now() >= until;
export const each = (count, make) => Promise.all(Array.from({ length: count }, (_, number) => make(number)));
const left = (until) => Math.max(0, until - Date.now());

/** `count` strangers who do the same again and again. Returns how often, in words. */
export async function again(count, until, act, what = "times") {
  let done = 0;
  await each(count, async (number) => {
    await pause(number % 50);
    while (!over(until)) {
      try {
        await Promise.race([act(number), pause(left(until))]);
        done += 1;
      } catch {
        await pause(100);
      }
    }
  });
  return `${done} ${what}`;
}

/** Sends bytes over a stream of their own, and waits for the end of the stream, or a second. */
export async function sent(port, bytes, from = STRANGER, waitMs = 1_000) {
  const raw = new RawStream(port, from);
  raw.write(bytes);
  await Promise.race([raw.end, new Promise((done) => raw.socket.once("data", done)), pause(waitMs)]);
  const { status } = raw;
  // Otherwise this side's port waits for a minute, and thousands of those slow the attacker down.
  raw.reset();
  return status;
}

/** Many streams that say something now and then, and are opened anew when they are closed; `from` gives their address. */
export function held(port, count, until, begin, more = () => "", from = () => STRANGER) {
  return again(
    count,
    until,
    async (number) => {
      const bytes = await begin(number);
      const raw = new RawStream(port, from());
      raw.onBytes = () => {};
      raw.write(bytes);
      while (!over(until) && !raw.ended && !raw.error) {
        await Promise.race([raw.end, pause(Math.min(500, left(until)))]);
        const chunk = more(number);
        if (chunk && !raw.ended) raw.write(chunk);
      }
      raw.destroy();
      await pause(50);
    },
    "streams",
  );
}

/** A POST over a stream of its own; its status, or 0 when none came in time. */
export async function posted(port, sid, body, until, from = NO_LIMITS) {
  const headers = { connection: "close", "content-type": "text/plain" };
  const raw = new RawStream(port, from).write(requestText("POST", engineUrl({ sid }), { headers, body }));
  await Promise.race([raw.end, pause(left(until))]);
  raw.destroy();
  return raw.status;
}

/** A polling session with its socket that has read everything so far; its id. */
export async function session(port) {
  const polling = await PollingSession.open(port, { join: true });
  await polling.get();
  return polling.sid;
}

/** WebSockets that have joined the main namespace. */
export async function websockets(port, count, { from = NO_LIMITS, ...options } = {}) {
  return each(count, async (number) => {
    await pause(number);
    const client = new EngineSocket(port, socketUrl(), { ...from, ...options });
    await client.opened();
    client.text("40");
    return client;
  });
}

/** Writes as fast as the stream accepts, until it ends or the time is over. */
export async function pour(socket, chunk, until) {
  let ended = false;
  socket.once("close", () => (ended = true));
  while (!over(until) && !ended) {
    if (socket.write(chunk)) await pause(0);
    else await Promise.race([new Promise((done) => socket.once("drain", done)), pause(left(until))]);
  }
}

/** WebSockets that each say `begin`, then pour one of some chunks; one that is closed is opened anew. */
export function floods(port, count, until, chunks, { from = NO_LIMITS, begin = "", ...options } = {}) {
  return again(
    count,
    until,
    async (number) => {
      const client = new EngineSocket(port, socketUrl(), { ...from, ...options });
      client.onText = () => {};
      client.socket.on("error", () => {});
      await Promise.race([new Promise((done) => client.socket.once("data", done)), pause(2_000)]);
      if (begin) {
        // An event before the answer is nothing that an app bears.
        client.socket.write(begin);
        await Promise.race([new Promise((done) => client.socket.once("data", done)), pause(2_000)]);
        await pause(20);
      }
      await pour(client.socket, chunks[number % chunks.length], until);
      client.socket.destroy();
      await pause(20);
    },
    "floods",
  );
}
