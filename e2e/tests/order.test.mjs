// A small run of the stress test of order, and proof that its oracle can fail. The large run: `node stress/order.mjs`.
import assert from "node:assert/strict";
import test, { before, describe } from "node:test";
import { PLAIN } from "../harness/world.mjs";
import { check } from "../stress/order_oracle.mjs";
import { run } from "../stress/order_run.mjs";

describe("the oracle of order, on logs made by hand", () => {
  // One socket `s` of `amber`, in room `r` from entry 2 to entry 4. `cobalt` broadcasts to `r`.
  const amber = [
    { time: 0, op: "connect", socket: "s", client: 0 },
    { time: 1, op: "send", socket: "s", id: "amber:1" },
    { time: 2, op: "join", socket: "s", rooms: ["r"] },
    { time: 3, op: "send", socket: "s", id: "amber:2" },
    { time: 4, op: "leave", socket: "s", room: "r" },
    { time: 5, op: "send", socket: "s", id: "amber:3" },
    { time: 6, op: "cast", id: "amber:4", rooms: [], except: ["r"] },
  ];
  const cobalt = (...casts) =>
    casts.map(([time, id, extra]) => ({ time, op: "cast", id: `cobalt:${id}`, rooms: ["r"], except: [], ...extra }));
  const FULL = ["amber:1", "amber:2", "amber:3", "amber:4"];
  /** The verdict on what a client received; each message comes 10 ms after the one before, unless a time is given. */
  const verdict = (heard, casts, { log = amber, tail = [] } = {}) => {
    const events = heard.map((id, index) =>
      Array.isArray(id) ? { time: id[1], kind: "heard", id: id[0] } : { time: 20 + index * 10, kind: "heard", id },
    );
    const life = {
      client: 0,
      mode: "websocket",
      socket: "s",
      events: [{ time: 10, kind: "connect" }, ...events, ...tail],
    };
    const logs = [
      { server: "amber", entries: log },
      { server: "cobalt", entries: cobalt(...casts) },
    ];
    return check({ logs, lives: [life] }).violations.length === 0 ? "legal" : "violation";
  };
  const left = [
    { time: 900, kind: "left" },
    { time: 901, kind: "disconnect", reason: "io client disconnect" },
  ];
  const leaves = [...amber, { time: 7, op: "gone", socket: "s", reason: "client namespace disconnect" }];
  const ends = [
    ...amber,
    { time: 7, op: "end", socket: "s" },
    { time: 7, op: "gone", socket: "s", reason: "server namespace disconnect" },
  ];
  const ended = [{ time: 901, kind: "disconnect", reason: "io server disconnect" }];
  const cast = [[3, 1]];
  const table = [
    ["all in order", FULL, [], "legal"],
    ["two swapped", ["amber:2", "amber:1", "amber:3", "amber:4"], [], "violation"],
    ["one missing", ["amber:1", "amber:3", "amber:4"], [], "violation"],
    ["the last one missing", ["amber:1", "amber:2", "amber:3"], [], "violation"],
    ["one twice", ["amber:1", "amber:2", "amber:2", "amber:3", "amber:4"], [], "violation"],
    ["a message that nobody sent", [...FULL, "amber:9"], [], "violation"],
    ["the end missing for one that left", ["amber:1", "amber:2"], [], "legal", { log: leaves, tail: left }],
    ["the middle missing for one that left", ["amber:1", "amber:3"], [], "violation", { log: leaves, tail: left }],
    ["the end missing for one that the app ended", ["amber:1", "amber:2"], [], "violation", { log: ends, tail: ended }],
    [
      "something after the disconnect",
      FULL,
      [],
      "violation",
      { log: leaves, tail: [...left, { time: 950, kind: "heard", id: "amber:4" }] },
    ],
    [
      "a disconnect that nobody caused",
      FULL,
      [],
      "violation",
      { tail: [{ time: 950, kind: "disconnect", reason: "transport close" }] },
    ],
    [
      "a foreign one while it may be in the room, before",
      ["amber:1", "cobalt:1", "amber:2", "amber:3", "amber:4"],
      cast,
      "legal",
    ],
    [
      "a foreign one while it may be in the room, behind",
      ["amber:1", "amber:2", "cobalt:1", "amber:3", "amber:4"],
      cast,
      "legal",
    ],
    ["a foreign one that came before or after the room", FULL, cast, "legal"],
    ["a foreign one before the join", ["cobalt:1", "amber:1", "amber:2", "amber:3", "amber:4"], cast, "violation"],
    ["a foreign one after the leave", ["amber:1", "amber:2", "amber:3", "cobalt:1", "amber:4"], cast, "violation"],
    ["a foreign one twice", ["amber:1", "cobalt:1", "amber:2", "cobalt:1", "amber:3", "amber:4"], cast, "violation"],
    [
      "two foreign ones in order",
      ["amber:1", "cobalt:1", "amber:2", "cobalt:2", "amber:3", "amber:4"],
      [
        [3, 1],
        [4, 2],
      ],
      "legal",
    ],
    [
      "two foreign ones swapped",
      ["amber:1", "cobalt:2", "amber:2", "cobalt:1", "amber:3", "amber:4"],
      [
        [3, 1],
        [4, 2],
      ],
      "violation",
    ],
    [
      "the middle one of three missing",
      ["amber:1", "cobalt:1", "amber:2", "cobalt:3", "amber:3", "amber:4"],
      [
        [3, 1],
        [4, 2],
        [5, 3],
      ],
      "violation",
    ],
    [
      "two foreign ones swapped, side by side",
      ["amber:1", "cobalt:2", "cobalt:1", "amber:2", "amber:3", "amber:4"],
      [
        [3, 1],
        [4, 2],
      ],
      "violation",
    ],
    [
      "a foreign one to all, missing in the middle",
      ["cobalt:1", ...FULL, "cobalt:3"],
      [1, 2, 3].map((id) => [id, id, { rooms: [] }]),
      "violation",
    ],
    [
      "a foreign one to all, before the connect",
      ["amber:1", "cobalt:2", "amber:2", "amber:3", "amber:4"],
      [
        [-5, 1, { rooms: [] }],
        [4, 2],
      ],
      "legal",
    ],
    ["a foreign one to all, called after the connect was seen", FULL, [[500, 1, { rooms: [] }]], "violation"],
    [
      "a volatile one missing",
      ["amber:1", "amber:2", "amber:3", "amber:4"],
      [[500, 1, { rooms: [], volatile: true }]],
      "legal",
    ],
    [
      "a foreign one that is local",
      ["amber:1", "cobalt:1", "amber:2", "amber:3", "amber:4"],
      [[3, 1, { local: true }]],
      "violation",
    ],
    [
      "called when the client had seen that it left the room",
      ["amber:1", "amber:2", "amber:3", "amber:4", "cobalt:1"],
      [[500, 1]],
      "violation",
    ],
    [
      "called when it must be in the room, missing",
      ["amber:1", "amber:2"],
      [[500, 1]],
      "violation",
      { log: amber.slice(0, 4) },
    ],
    [
      "received before the home called its join",
      ["amber:1", ["cobalt:1", 1.5], "amber:2", "amber:3", "amber:4"],
      [[1, 1]],
      "violation",
    ],
  ];
  for (const [name, heard, casts, expected, more] of table) {
    test(`${name}: ${expected}`, () => assert.equal(verdict(heard, casts, more), expected));
  }
});

describe("order under load, seed 7", () => {
  let record;
  before(async () => {
    record = await run({ seed: 7, clients: 60, rounds: 2, turns: 60, clientOperations: 250 });
  });

  test("what everybody wrote down agrees", () => {
    const { violations, deliveries, foreign } = check(record);
    assert.deepEqual([...violations, ...record.problems].slice(0, 5), []);
    assert.ok(deliveries > 2_000, `${deliveries} deliveries`);
    assert.ok(PLAIN || foreign > 5_000, `${foreign} broadcasts of the other app server`);
  });

  const isOwn = (life) => (event) =>
    event.kind === "heard" && event.id.startsWith(`${life.home}:`) && !life.volatile.has(event.id);
  const isForeign = (life) => (event) => event.kind === "heard" && !event.id.startsWith(`${life.home}:`);
  const isUp = () => (event) => event.kind === "said";
  const falsifications = {
    "two messages of one app server swapped": [
      isOwn,
      2,
      (events, [a, b]) => ([events[a].id, events[b].id] = [events[b].id, events[a].id]),
    ],
    "a message dropped": [isOwn, 2, (events, [at]) => events.splice(at, 1)],
    "a message doubled": [isOwn, 1, (events, [at]) => events.splice(at, 0, { ...events[at] })],
    "a message moved behind the next but one": [
      isOwn,
      3,
      (events, [at, , to]) => events.splice(to, 0, ...events.splice(at, 1)),
    ],
    "a message for somebody else": [
      isOwn,
      1,
      (events, [at], stranger) => events.splice(at, 0, { ...events[at], id: stranger }),
    ],
    "a message spoilt": [isOwn, 1, (events, [at]) => (events[at].bad = true)],
    "a message after the end": [
      isOwn,
      1,
      (events, [at]) =>
        events.push({ time: 1e12, kind: "disconnect", reason: "io client disconnect" }, { ...events[at] }),
    ],
    "a broadcast of the other app server doubled": [
      isForeign,
      1,
      (events, [at]) => events.splice(at, 0, { ...events[at] }),
    ],
    "two broadcasts of the other app server swapped": [
      isForeign,
      2,
      (events, [a, b]) => ([events[a].id, events[b].id] = [events[b].id, events[a].id]),
    ],
    "the last broadcast of the other app server dropped": [
      isForeign,
      1,
      (events, _chosen, _stranger, all) => events.splice(all.at(-1), 1),
    ],
    "what a client said swapped": [
      isUp,
      2,
      (events, [a, b]) => ([events[a].number, events[b].number] = [events[b].number, events[a].number]),
    ],
    "what a client said unheard": [isUp, 1, (events, [at]) => events.splice(at, 1)],
  };
  for (const [name, [kind, count, change]] of Object.entries(falsifications)) {
    test(`caught: ${name}`, { skip: PLAIN && kind === isForeign }, () => {
      let tried = 0;
      for (const [index, life] of homed(record).entries()) {
        const all = life.events.flatMap((event, at) => (kind(life)(event) ? [at] : []));
        if (all.length < count + 2 || life.events.some(({ kind }) => kind === "disconnect")) continue;
        const lives = record.lives.with(index, { ...life, events: structuredClone(life.events) });
        change(lives[index].events, all.slice(1), life.stranger, all);
        assert.notDeepEqual(check({ logs: record.logs, lives }).violations, [], `client ${life.client}`);
        if ((tried += 1) === 5) break;
      }
      assert.equal(tried, 5);
    });
  }
});

/** The lives with the name of their app server, its volatile messages, and a message to another client. */
function homed({ logs, lives }) {
  return lives.map((life) => {
    const { server, entries } = logs.find(({ entries }) =>
      entries.some(({ op, socket }) => op === "connect" && socket === life.socket),
    );
    const volatile = new Set(entries.filter((entry) => entry.volatile).map(({ id }) => id));
    const stranger = entries.find(
      ({ op, socket, id }) => op === "send" && socket !== life.socket && !volatile.has(id),
    ).id;
    return { ...life, home: server, volatile, stranger };
  });
}
