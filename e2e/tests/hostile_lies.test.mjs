// App servers that send well-formed but false frames: each ends its own trunk with error 1, and nothing else.
import assert from "node:assert/strict";
import { engineUrl } from "../../testing/engine.mjs";
import { request } from "../../testing/stream.mjs";
import { until } from "../../testing/wait.mjs";
import { inArena } from "../harness/arena.mjs";

const bytes = Buffer.from("x");
const response = { status: 200, headers: [], body: bytes };
const scope = { flags: 0, rooms: [], except: [], parts: [] };
const name = (nsp) => ({ type: "Namespace", nsp, name: `/${nsp}` });
const numberOf = (low) => ({ type: "Number", high: 0, low });
const restore = (requestId, pid = "nobody") => ({ type: "Restore", requestId, nsp: 0, pid, offset: "o" });

/** The frames of the app server, with `session` a number in use; the rule that they break, in the node's words. */
const LIES = {
  "a Response to no request": [
    () => [{ type: "Response", requestId: 7, response }],
    /Response for a number that is not in use/,
  ],
  "Attach in a namespace that was never named": [
    (session) => [{ type: "Attach", session, nsp: 3, socket: "s", rooms: [] }],
    /namespace 3 is not given/,
  ],
  "Beside in a namespace that was never named": [
    (session) => [{ type: "Beside", session, nsp: 3, socket: "s", rooms: [] }],
    /namespace 3 is not given/,
  ],
  "Choose in a namespace that was never named": [
    (session) => [{ type: "Choose", session, nsp: 3, socket: "s" }],
    /namespace 3 is not given/,
  ],
  "Join in a namespace that was never named": [
    (session) => [{ type: "Join", session, nsp: 3, rooms: ["r"] }],
    /namespace 3 is not given/,
  ],
  "Leave in a namespace that was never named": [
    (session) => [{ type: "Leave", session, nsp: 3, rooms: ["r"] }],
    /namespace 3 is not given/,
  ],
  "Detach in a namespace that was never named": [
    (session) => [{ type: "Detach", session, nsp: 3 }],
    /namespace 3 is not given/,
  ],
  "Persist in a namespace that was never named": [
    (session) => [{ type: "Persist", session, nsp: 3, pid: "p", socket: "s", rooms: [], data: bytes }],
    /namespace 3 is not given/,
  ],
  "Broadcast in a namespace that was never named": [
    () => [{ type: "Broadcast", nsp: 3, ...scope }],
    /namespace 3 is not given/,
  ],
  "Recorded in a namespace that was never named": [
    () => [{ type: "Recorded", nsp: 3, offset: "o", ...scope }],
    /namespace 3 is not given/,
  ],
  "Restore in a namespace that was never named": [() => [{ ...restore(1), nsp: 3 }], /namespace 3 is not given/],
  "Reattach in a namespace that was never named": [
    (session) => [
      { type: "Reattach", session, nsp: 3, socket: "s", rooms: [], pid: "p", log: "l", last: "o", cut: [] },
    ],
    /namespace 3 is not given/,
  ],
  "GiveBack in a namespace that was never named": [
    () => [{ type: "GiveBack", nsp: 3, pid: "p" }],
    /namespace 3 is not given/,
  ],
  "Join after Release": [
    (session) => [name(3), { type: "Release", nsp: 3 }, { type: "Join", session, nsp: 3, rooms: ["r"] }],
    /namespace 3 is not given/,
  ],
  "Release of a namespace that was never named": [() => [{ type: "Release", nsp: 3 }], /namespace 3 is not given/],
  "Release twice": [
    () => [name(3), { type: "Release", nsp: 3 }, { type: "Release", nsp: 3 }],
    /namespace 3 is not given/,
  ],
  "a number for two namespaces": [() => [name(3), { ...name(3), name: "/other" }], /namespace 3 is given twice/],
  "Restore with a number in use": [() => [name(0), restore(1), restore(1)], /Restore with a number that is in use/],
  "Number zero": [() => [numberOf(0)], /a Number that is zero or goes backwards/],
  "Number that was used": [
    () => [numberOf(5), name(0), { type: "Broadcast", nsp: 0, ...scope }, numberOf(5)],
    /a Number that is zero or goes backwards/,
  ],
  "Send for a session that never was": [
    () => [{ type: "Send", session: 4_000_000, flags: 0, payload: bytes }],
    /Send for a number that is not in use/,
  ],
  "Attach for a session that never was": [
    () => [name(0), { type: "Attach", session: 4_000_000, nsp: 0, socket: "s", rooms: [] }],
    /Attach for a number that is not in use/,
  ],
  "Accept twice": [
    (session) => [{ type: "Accept", session, sid: "", headers: [], lasting: [] }],
    /Accept for a session that is already answered/,
  ],
  "Send after Close": [
    (session) => [
      { type: "Close", session, reason: 5, description: "" },
      { type: "Send", session, flags: 0, payload: bytes },
    ],
    /Send for a (session that its sender has closed|number that is not in use)/,
  ],
  "a frame of a node": [() => [{ type: "Upgraded", session: 0, transport: 2 }], /Upgraded in the wrong direction/],
};

inArena("each lie ends the trunk of the one who tells it", { threads: 2 }, async (arena) => {
  const honest = await arena.app({ echoes: true });
  const { client } = await arena.session(honest);
  honest.send({ type: "Drain", deadlineMs: 60_000 });
  for (const [lie, [frames, rule]] of Object.entries(LIES)) {
    const liar = await arena.app({
      settings: { connectionStateRecovery: { maxDisconnectionDuration: 1000 }, numbers: true },
    });
    const { session } = await arena.session(liar);
    liar.send(...frames(session));
    await until(`the end for ${lie}`, () => liar.ended);
    const [error] = liar.of("Error");
    assert.equal(error?.code, 1, lie);
    assert.match(error.message, rule, lie);
  }
  client.text("4unharmed");
  await client.heard("4unharmed");
});

inArena(
  "what came too late, and numbers that are free again, are no lies",
  { threads: 2, args: ["--handshake-timeout", "1s"] },
  async (arena) => {
    const app = await arena.app();
    // Two requests, one after the other.
    app.send(name(0), restore(1));
    await until("the first answer", () => app.of("Restored").length === 1);
    app.send(restore(1));
    await until("the second answer", () => app.of("Restored").length === 2);
    // A client that did not wait for the answer, or for which the node stopped waiting.
    const asked = request(arena.node.port, "OPTIONS", engineUrl());
    await until("the request", () => app.requests.length === 1);
    await asked;
    app.respond(app.requests[0].requestId, 200);
    // The same number for one namespace after another.
    for (let turn = 0; turn < 1000; turn++)
      app.send({ type: "Namespace", nsp: 1, name: `/visitor-${turn}` }, { type: "Release", nsp: 1 });
    await app.ping();
    assert.equal(app.ended, undefined);
    assert.deepEqual(app.of("Error"), []);
  },
);
