// What no client, no app server and no stranger should send. Each case: the answer is clear, a counter
// moves, and a well-behaved session that is connected all the while goes on.
import assert from "node:assert/strict";
import { counterMoved } from "../harness/metrics.mjs";
import { inWorld } from "../harness/test.mjs";
import { until } from "../harness/until.mjs";
import { Raw, frame, openSession, post, request, trunkToken, upgradeHead } from "../harness/wire.mjs";
import { PLAIN, TRANSPORTS } from "../harness/world.mjs";

const KEY = "trunkline-development-key-do-not-use-in-production";
const TOO_MUCH = 1_000_001;
/** The counters that tell of something refused or broken. */
const BAD = /refused|misbehaviour|handshakes.*outcome="(?!accepted)|sessions_closed|trunks_ended/;

const POLL = "EIO=4&transport=polling";
const SOCKET = "/socket.io/?EIO=4&transport=websocket";

/** Plain Socket.IO is reached through the app's own server. */
const entrance = (world) => (PLAIN ? { url: world.url, port: Number(new URL(world.url).port) } : world.node);

/** An answer with Engine.IO's code and message. */
const refusal = (status, code, message) => async (node, act) => {
  const answer = await act(node);
  assert.equal(answer.status, status);
  assert.deepEqual(JSON.parse(answer.body), { code, message });
};

/** Answers a polling request, and is the end of that session. */
const endsSession = (...statuses) => async (node, act) => {
  const sid = await openSession(node);
  const answer = await act(node, sid);
  assert.ok(statuses.includes(answer.status), `${answer.status} ${answer.body}`);
  const gone = async () => (await request(node, `${POLL}&sid=${sid}`)).status === 400;
  await until("the session's end", gone);
};

/** A WebSocket session by hand that ends with this close code. */
const closesWith = (...codes) => async (node, act) => {
  const raw = new Raw(node.port).write(upgradeHead(SOCKET));
  try {
    await until("the open packet", () => raw.text.includes('0{"sid"'));
    const seen = raw.received.length;
    raw.write(act());
    await closeFrame(raw, seen, codes);
  } finally {
    raw.destroy();
  }
};

/** Waits for a close frame with one of these codes after `seen` bytes. */
async function closeFrame(raw, seen, codes) {
  const code = await until("a close frame", () => closeCode(raw.received.subarray(seen)) ?? (raw.ended && "none"));
  assert.ok(codes.includes(code), `close code ${code}`);
}

/** The code of the last frame, when it is a close frame; undefined when there is none. */
function closeCode(bytes) {
  for (let at = 0; at + 1 < bytes.length; at += 2 + (bytes[at + 1] & 0x7f)) {
    if ((bytes[at] & 0x0f) !== 8) continue;
    if ((bytes[at + 1] & 0x7f) < 2) return 1005; // It gives no code.
    if (at + 4 <= bytes.length) return bytes.readUInt16BE(at + 2);
  }
  return undefined;
}

/** Its name, what is done, what has to come of it, and the cause under which it is counted. */
const CASES = [
  ["an unknown transport", (node) => request(node, "EIO=4&transport=tree"), refusal(400, 0, "Transport unknown"), "unknown_transport"],
  ["no transport", (node) => request(node, "EIO=4"), refusal(400, 0, "Transport unknown"), "unknown_transport"],
  ["an unknown sid", (node) => request(node, `${POLL}&sid=AAAAAAAAAAAAAAAAAAAA`), refusal(400, 1, "Session ID unknown"), "unknown_sid"],
  ["a sid that is no sid", (node) => request(node, `${POLL}&sid=%00%ff../..`), refusal(400, 1, "Session ID unknown"), "unknown_sid"],
  ["a handshake by POST", (node) => request(node, POLL, { method: "POST", body: "40" }), refusal(400, 2, "Bad handshake method"), "bad_handshake_method"],
  ["EIO=3 where it is not allowed", (node) => request(node, "EIO=3&transport=polling"), refusal(400, 5, "Unsupported protocol version"), "unsupported_protocol_version"],
  ["EIO=99", (node) => request(node, "EIO=99&transport=polling"), refusal(400, 5, "Unsupported protocol version"), "unsupported_protocol_version"],
  ["no EIO", (node) => request(node, "transport=polling"), refusal(400, 5, "Unsupported protocol version"), "unsupported_protocol_version"],
  [
    "transport=websocket without an upgrade",
    (node) => request(node, "EIO=4&transport=websocket"),
    refusal(400, 3, "Bad request"),
    "bad_request",
  ],

  ["a POST over the limit", (node, sid) => post(node, sid, "4".repeat(TOO_MUCH)), endsSession(413), "payload_too_large"],
  // The client reads the answer only when it has sent everything.
  ["a POST far over the limit", (node, sid) => post(node, sid, "4".repeat(5 * TOO_MUCH)), endsSession(413), "payload_too_large"],
  ["a packet of an unknown type", (node, sid) => post(node, sid, "9hello"), endsSession(200), "parse_error"],
  ["an empty packet among others", (node, sid) => post(node, sid, '42["never"]\x1e\x1e42["never"]'), endsSession(200, 400), "parse_error"],
  ["a ping, which only a server sends", (node, sid) => post(node, sid, "2"), endsSession(200, 400), "ping_from_client"],
  ["bad base64", (node, sid) => post(node, sid, "b****"), endsSession(200), "forced"],
  ["a Socket.IO packet that is none", (node, sid) => post(node, sid, "4not a packet"), endsSession(200), "forced"],
  ["a truncated Socket.IO event", (node, sid) => post(node, sid, '42["never", {"a":'), endsSession(200), "forced"],
  ["binary that nobody announced", (node, sid) => post(node, sid, "bAAECAw=="), endsSession(200), "forced"],
  ["a truncated binary event", (node, sid) => post(node, sid, '451-["never",{"_placeholder":true,"num":0}]\x1e42["never"]'), endsSession(200), "forced"],

  ["a frame over the limit", () => frame(Buffer.alloc(0), { length: TOO_MUCH }), closesWith(1009), "message_too_big"],
  ["a message over the limit, in pieces", () => {
    const piece = Buffer.alloc(600_000, "4");
    return Buffer.concat([frame(piece, { fin: false }), frame(piece, { opcode: 0 })]);
  }, closesWith(1009), "message_too_big"],
  ["text that is not UTF-8", () => frame([0x34, 0xff, 0xfe]), closesWith(1007), "text_not_utf8"],
  ["a frame without a mask", () => frame("2", { mask: false }), closesWith(1002), "mask_missing"],
  ["reserved bits", () => frame("2", { reserved: 0x20 }), closesWith(1002), "reserved_bits"],
  ["compressed data that nobody agreed to", () => frame("2", { reserved: 0x40 }), closesWith(1002), "reserved_bits"],
  ["a reserved opcode", () => frame("2", { opcode: 3 }), closesWith(1002), "reserved_opcode"],
  ["a ping in pieces", () => frame("", { opcode: 9, fin: false }), closesWith(1002), "control_fragmented"],
  ["a ping over 125 bytes", () => frame(Buffer.alloc(126), { opcode: 9 }), closesWith(1002), "control_too_long"],
  ["a continuation of nothing", () => frame("2", { opcode: 0 }), closesWith(1002), "continuation_without_start"],
  ["a text frame inside a message", () => Buffer.concat([frame("4", { fin: false }), frame("2")]), closesWith(1002), "data_inside_message"],
  ["a close frame of one byte", () => frame([3], { opcode: 8 }), closesWith(1002), "close_body_too_short"],
  ["a close code that must not be sent", () => frame([0x03, 0xee], { opcode: 8 }), closesWith(1002), "close_code_invalid"],
  ["a WebSocket packet of an unknown type", () => frame("9"), closesWith(1005, 1000), "packet_type_unknown"],
];

inWorld("bad input", { servers: ["amber"] }, (test) => {
  for (const [name, act, expect, cause] of CASES) {
    test(name, (world) => besides(world, () => expect(entrance(world), act), new RegExp(`cause="${cause}"`)));
  }
});

/** Does `bad` while a good session is connected; a counter must move, and the session must not. */
async function besides(world, bad, counters = BAD) {
  const witness = await world.client("/", TRANSPORTS.upgrade);
  const { id } = witness;
  assert.equal(await witness.emitWithAck("echo", "before"), "before");
  const before = PLAIN ? undefined : await world.node.metrics();
  const during = witness.emitWithAck("echo", "during");
  await bad();
  assert.equal(await during, "during");
  if (before) {
    await until(`a counter like ${counters}`, async () => counterMoved(before, await world.node.metrics(), counters).length > 0);
  }
  assert.equal(await witness.emitWithAck("echo", "after"), "after");
  assert.equal(witness.id, id);
}

inWorld("bad requests", { servers: ["amber"], args: ["--header-timeout", "1s", "--body-timeout", "1s"], trunklineOnly: true }, (test) => {
  const json = async (answer, status, pattern) => {
    assert.equal(answer.status, status, answer.body);
    assert.match(answer.headers.get("content-type"), /^application\/json/);
    assert.match(answer.body, pattern);
    JSON.parse(answer.body);
  };
  const cases = {
    "an unknown path": async (node) => json(await request(node, "", { path: "/nowhere" }), 404, /path|not.found/i),
    "an unknown hub": async (node) => json(await request(node, POLL, { path: "/clients/socketio/hubs/nowhere/" }), 404, /hub/i),
    "what is not HTTP": async (node) => {
      const raw = await new Raw(node.port).write("this is not HTTP\r\n\r\n").closed();
      assert.equal(raw.status, 400);
    },
    "headers without end": async (node) => {
      const raw = new Raw(node.port).write(`GET /socket.io/?${POLL} HTTP/1.1\r\nHost: x\r\n`);
      for (let number = 0; number < 2000 && !raw.ended; number += 1) raw.write(`X-${number}: ${"x".repeat(100)}\r\n`);
      await raw.closed();
      assert.ok([431, 0].includes(raw.status), raw.text.slice(0, 100));
    },
    "headers that never end": async (node) => {
      const raw = new Raw(node.port).write(`GET /socket.io/?${POLL} HTTP/1.1\r\nHost: x\r\n`);
      await raw.closed();
      assert.ok([408, 0].includes(raw.status), raw.text.slice(0, 100));
    },
    "headers one byte at a time": async (node) => {
      const raw = new Raw(node.port);
      const drip = setInterval(() => raw.write("G"), 20);
      await raw.closed().finally(() => clearInterval(drip));
    },
    "a body that never comes": async (node) => {
      const sid = await openSession(node);
      const raw = new Raw(node.port).write(`POST /socket.io/?${POLL}&sid=${sid} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n4`);
      await raw.closed();
      assert.ok([408, 400, 0].includes(raw.status), raw.text.slice(0, 100));
    },
    "a body over the limit, announced and never sent": async (node) => {
      const sid = await openSession(node);
      const raw = new Raw(node.port).write(`POST /socket.io/?${POLL}&sid=${sid} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n4`);
      await raw.closed();
      assert.equal(raw.status, 413);
    },
    "a stream that says nothing": async (node) => {
      await new Raw(node.port).closed();
    },
    "a WebSocket of another version": async (node) => {
      const raw = new Raw(node.port).write(upgradeHead(SOCKET, { "Sec-WebSocket-Version": "7" }));
      await until("an answer", () => raw.status);
      raw.destroy();
      assert.ok([400, 426].includes(raw.status));
    },
  };
  for (const [name, act] of Object.entries(cases)) {
    test(name, (world) => besides(world, () => act(world.node), name === "a stream that says nothing" ? /./ : BAD));
  }
});

inWorld("bad trunks", { servers: ["amber"], trunklineOnly: true }, (test) => {
  const open = (headers) => upgradeHead("/trunk/v1", headers);
  const bearer = (options) => ({ Authorization: `Bearer ${trunkToken({ key: KEY, ...options })}` });
  const seconds = Math.floor(Date.now() / 1000);
  const refused = {
    "no token": [open({}), 401, "token_missing"],
    "a token that is none": [open({ Authorization: "Bearer x.y" }), 401, "token_malformed"],
    "a wrong key": [open(bearer({ key: "wrong" })), 401, "token_signature"],
    "an unsigned token": [
      open({ Authorization: `Bearer ${Buffer.from('{"alg":"none"}').toString("base64url")}.${trunkToken({ key: KEY }).split(".")[1]}.` }),
      401,
      /^token_/,
    ],
    "an expired token": [open(bearer({ claims: { iat: seconds - 900, exp: seconds - 600 } })), 401, "token_expired"],
    "a token signed by a clock far ahead": [open(bearer({ claims: { iat: seconds + 900, exp: seconds + 1200 } })), 401, "token_not_yet_valid", /[89]\d\d s in the future.*clock/],
    "a token signed by a clock far behind": [open(bearer({ claims: { iat: seconds - 1200, exp: seconds - 900 } })), 401, "token_expired", /12\d\d s ago.*clock/],
    "another audience": [open(bearer({ claims: { aud: "somebody" } })), 401, "token_audience"],
    "a token for a day": [open(bearer({ claims: { exp: seconds + 86_400 } })), 401, "token_lifetime"],
    // In development a hub comes to be by its name, and this is none.
    "an unknown hub": [open(bearer({ hub: "no where" })), 404, "hub_unknown"],
    "no upgrade": ["GET /trunk/v1 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad_request"],
  };
  for (const [name, [head, status, code, sentence = /.{10}/]] of Object.entries(refused)) {
    test(name, (world) =>
      besides(world, async () => {
        const raw = new Raw(world.node.port).write(head);
        const body = await until("the answer's body", () => raw.text.includes("}") && JSON.parse(/\{.*\}/s.exec(raw.text)[0]));
        raw.destroy();
        assert.equal(raw.status, status);
        assert.match(body.error, typeof code === "string" ? new RegExp(`^${code}$`) : code);
        assert.match(body.message, sentence, "it says what to do");
      }),
    );
  }

  test("clocks that are a minute and a half apart do no harm", async (world) => {
    for (const offset of [-90, 90, -290, 290]) {
      const raw = new Raw(world.node.port).write(open(bearer({ claims: { iat: seconds + offset, exp: seconds + offset + 300 } })));
      await until("the answer", () => raw.status !== 0);
      raw.destroy();
      assert.equal(raw.status, 101, `${offset} s: ${raw.text}`);
    }
  });

  test("a flood of them fills no log", (world) =>
    besides(world, async () => {
      const before = world.node.log.count(/trunk refused/);
      const answers = await Promise.all(Array.from({ length: 200 }, () => request(world.node, "", { path: "/trunk/v1" })));
      assert.ok(answers.every(({ status }) => status === 400));
      assert.ok(world.node.log.count(/trunk refused/) <= before + 2, world.node.log.text);
    }));

  const binary = (bytes) => frame(bytes, { opcode: 2 });
  const garbage = {
    "garbage instead of Hello": binary([0x7f, 0x03, 1, 2, 3]),
    "a truncated Hello": binary([0x01, 0x20, 1]),
    "a frame that is longer than its batch": binary([0x01, 0xff, 0xff, 0xff, 0xff, 0x0f]),
    "another frame before Hello": binary([0x04, 0x01, 7]),
    "an empty batch": binary([]),
    "a text message": frame("hello"),
    "noise": binary(Array.from({ length: 300 }, (_, at) => (at * 37) % 256)),
    "a frame that breaks RFC 6455": frame("", { opcode: 11 }),
  };
  for (const [name, bytes] of Object.entries(garbage)) {
    test(name, (world) =>
      besides(world, async () => {
        const raw = new Raw(world.node.port).write(open(bearer({})));
        await until("the trunk", () => raw.status === 101);
        const head = raw.received.indexOf("\r\n\r\n") + 4;
        raw.write(bytes);
        await closeFrame(raw, head, [1002, 1003, 1007, 1008]);
        raw.destroy();
      }),
    );
  }

  test("a trunk that is cut in the middle of a frame", (world) =>
    besides(world, async () => {
      const raw = new Raw(world.node.port).write(open(bearer({})));
      await until("the trunk", () => raw.status === 101);
      raw.write(binary(Buffer.alloc(100)).subarray(0, 20));
      await until("written", () => raw.socket.bytesWritten > 100);
      raw.destroy();
    }));
});
