// Trunk frames that are well-formed but make no sense, made from a seed.
import { encodeBatch } from "../../testing/trunk_batch.mjs";

/** Returns `pick(n)`: a whole number below `n`; equal seeds give equal numbers (mulberry32). */
export function random(seed) {
  let state = (seed + 1) * 0x9e3779b9;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return Math.floor((((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** Makes the namespaces that `garbage` uses most. */
export const namespaces = () => encodeBatch([0, 1, 2].map((nsp) => ({ type: "Namespace", nsp, name: `/${nsp}` })));

/** One batch of up to 20 frames; `sessions` are numbers in use. */
export function garbage(pick, sessions) {
  return encodeBatch(Array.from({ length: 1 + pick(20) }, () => oneFrame(pick, sessions)));
}

const LARGE = 0xffff_ffff;

function oneFrame(pick, sessions) {
  const one = (...list) => list[pick(list.length)];
  const session = pick(50) && sessions.length > 0 ? one(...sessions) : one(0, 1, 2, 7, 1000, LARGE);
  const nsp = pick(50) ? pick(3) : one(3, LARGE);
  const text = () => one("", "a", "/", "room", "täxt", "x".repeat(pick(2000)), "\u0000", "🦀");
  const some = (make) => Array.from({ length: pick(4) }, make);
  const bytes = () => Buffer.from(text());
  const number = () => one(0, 1, 255, 65_536, LARGE);
  const response = () => ({ status: one(200, 204, 302, 404, 500, 999), headers: some(header), body: bytes() });
  const header = () => ({
    name: one("x-a", "set-cookie", "connection", "bad name", text()),
    value: one("v", "a\r\nb: c", text()),
  });
  const position = () => ({ server: text(), high: one(0, LARGE), low: number() });
  const part = () => ({ kind: pick(2), data: bytes() });
  const request = () => ({
    transport: 1 + pick(2),
    flags: pick(2),
    address: text(),
    port: pick(65_536),
    method: text(),
    url: text(),
    rawHeaders: some(header).flatMap(({ name, value }) => [name, value]),
    claims: "",
  });
  const scope = () => ({ nsp, flags: one(0, 1, 2, 8, 11), rooms: some(text), except: some(text), parts: some(part) });

  const sensible = [
    () => ({ type: "Send", session, flags: one(0, 1, 2, 6, 8, 15), payload: bytes() }),
    () => ({ type: "Send", session, flags: pick(16), payload: Buffer.alloc(pick(20_000), "z") }),
    () => ({ type: "Attach", session, nsp, socket: text(), rooms: some(text) }),
    () => ({ type: "Join", session, nsp, rooms: some(text) }),
    () => ({ type: "Leave", session, nsp, rooms: some(text) }),
    () => ({ type: "Detach", session, nsp }),
    () => ({ type: "Broadcast", ...scope() }),
    () => ({ type: "Recorded", offset: text(), ...scope() }),
    () => ({ type: "Persist", session, nsp, pid: text(), socket: text(), rooms: some(text), data: bytes() }),
    () => ({ type: "Restore", requestId: number(), nsp, pid: text(), offset: text() }),
    () => ({ type: "Prove", session, requestId: number(), cut: some(position) }),
    () => ({
      type: "Reattach",
      session,
      nsp,
      socket: text(),
      rooms: some(text),
      pid: text(),
      log: text(),
      last: text(),
      cut: some(position),
    }),
    () => ({ type: "GiveBack", nsp, pid: text() }),
    () => ({ type: "Relay", to: some(text), payload: bytes() }),
    () => ({ type: "Credit", bytes: pick(100_000) }),
    () => ({ type: "Ping", token: Buffer.alloc(pick(17)) }),
    () => ({ type: "Pong", token: Buffer.alloc(pick(17)) }),
  ];
  const ending = [
    () => ({ type: "Close", session, reason: one(1, 5, 6, 11, 77), description: text().slice(0, 300) }),
    () => ({ type: "Reject", session, response: response() }),
    () => ({
      type: "Accept",
      session,
      sid: one("", "A".repeat(28), text()),
      headers: some(header),
      lasting: some(header),
    }),
    () => ({ type: "Response", requestId: number(), response: response() }),
    () => ({ type: "Drain", deadlineMs: number() }),
    () => ({ type: "Namespace", nsp, name: text() }),
    () => ({ type: "Number", high: one(0, 0, 0, LARGE), low: number() }),
  ];
  const wrong = [
    () => ({
      type: "Hello",
      versionMin: 1,
      versionMax: 1,
      credit: number(),
      server: text(),
      sdk: text(),
      settings: "{}",
    }),
    () => ({ type: "Welcome", version: 1, credit: number(), pingIntervalMs: 1, batchBytesMax: 1, info: "{}" }),
    () => ({ type: "Open", session, eio: 4, sid: text(), request: request() }),
    () => ({ type: "Message", session, flags: 0, payload: bytes() }),
    () => ({ type: "Upgraded", session, transport: 2 }),
    () => ({ type: "Request", requestId: number(), code: 255, context: text(), request: request() }),
    () => ({ type: "Peers", servers: some(text) }),
    () => ({ type: "Relayed", from: text(), payload: bytes() }),
    () => ({ type: "Error", code: number(), message: text() }),
  ];
  // Frames that end a trunk at once are rare, so that the others have their turn.
  const kind = pick(200);
  return (kind === 0 ? one(...wrong) : kind < 14 ? one(...ending) : one(...sensible))();
}
