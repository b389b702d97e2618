// Input that no client, app server or stranger should send. In each case the answer is clear, a counter moves, and a
// well-behaved session that is connected the whole time goes on.
import assert from "node:assert/strict";
import { EngineSocket, engineUrl, PollingSession, SEPARATOR, socketUrl } from "../../testing/engine.mjs";
import { closeFrame, encodeFrame, OPCODE, RESERVED, textFrame } from "../../testing/frames.mjs";
import { requestHead, requestText } from "../../testing/http.mjs";
import { RawStream, request } from "../../testing/stream.mjs";
import { signToken, trunkToken } from "../../testing/token.mjs";
import { until } from "../../testing/wait.mjs";
import { upgradeHead, WebSocketClient } from "../../testing/websocket.mjs";
import { counterMoved } from "../harness/metrics.mjs";
import { inWorld } from "../harness/test.mjs";
import { PLAIN, TRANSPORTS } from "../harness/world.mjs";

const TOO_MUCH = 1_000_001;
/** The counters of refusals and broken rules. */
const BAD = /refused|misbehaviour|handshakes.*outcome="(?!accepted)|sessions_closed|trunks_ended/;

/** Plain Socket.IO is reached through the app's own server. */
const entrance = (world) => (PLAIN ? { port: Number(new URL(world.url).port) } : world.node);
const handshake = (node, query, options) => request(node.port, "GET", engineUrl(query), options);

/** Checks that an answer has Engine.IO's code and message. */
const refusal = (status, code, message) => async (node, act) => {
  const answer = await act(node);
  assert.equal(answer.status, status);
  assert.deepEqual(JSON.parse(answer.body), { code, message });
};

/** Checks that a polling request is answered, and that its session then ends. */
const endsSession =
  (...statuses) =>
  async (node, act) => {
    const session = await PollingSession.open(node.port, { join: true });
    const answer = await act(session, node);
    assert.ok(statuses.includes(answer.status), `${answer.status} ${answer.body}`);
    const gone = async () => (await session.get()).status === 400;
    await until("the session's end", gone);
  };

/** The answer to a POST by a client that reads only after it has sent everything. */
async function postThenRead(node, path, body) {
  const stream = new RawStream(node.port);
  stream.pause();
  const answer = stream.request("POST", path, { body });
  await until(
    "all of the body has left",
    () => stream.ended || (!stream.socket.connecting && stream.unsentBytes === 0),
  );
  stream.resume();
  return answer.finally(() => stream.destroy());
}

/** Checks that a hand-made WebSocket session ends with this close code. */
const closesWith =
  (...codes) =>
  async (node, act) => {
    const client = new EngineSocket(node.port, socketUrl());
    try {
      await client.opened();
      client.raw(act());
      const code = await client.closedWith();
      assert.ok(codes.includes(code), `close code ${code}`);
    } finally {
      client.destroy();
    }
  };

/** Columns: name, action, expected result, and the cause under which it is counted. */
const CASES = [
  [
    "an unknown transport",
    (node) => handshake(node, { transport: "tree" }),
    refusal(400, 0, "Transport unknown"),
    "unknown_transport",
  ],
  [
    "no transport",
    (node) => handshake(node, { transport: undefined }),
    refusal(400, 0, "Transport unknown"),
    "unknown_transport",
  ],
  [
    "an unknown sid",
    (node) => handshake(node, { sid: "AAAAAAAAAAAAAAAAAAAA" }),
    refusal(400, 1, "Session ID unknown"),
    "unknown_sid",
  ],
  [
    "a sid that is no sid",
    (node) => request(node.port, "GET", `${engineUrl()}&sid=%00%ff../..`),
    refusal(400, 1, "Session ID unknown"),
    "unknown_sid",
  ],
  [
    "a handshake by POST",
    (node) => request(node.port, "POST", engineUrl(), { body: "40" }),
    refusal(400, 2, "Bad handshake method"),
    "bad_handshake_method",
  ],
  [
    "EIO=3 where it is not allowed",
    (node) => handshake(node, { EIO: "3" }),
    refusal(400, 5, "Unsupported protocol version"),
    "unsupported_protocol_version",
  ],
  [
    "EIO=99",
    (node) => handshake(node, { EIO: "99" }),
    refusal(400, 5, "Unsupported protocol version"),
    "unsupported_protocol_version",
  ],
  [
    "no EIO",
    (node) => handshake(node, { EIO: undefined }),
    refusal(400, 5, "Unsupported protocol version"),
    "unsupported_protocol_version",
  ],
  [
    "transport=websocket without an upgrade",
    (node) => handshake(node, { transport: "websocket" }),
    refusal(400, 3, "Bad request"),
    "bad_request",
  ],

  ["a POST over the limit", (session) => session.post("4".repeat(TOO_MUCH)), endsSession(413), "payload_too_large"],
  [
    "a POST far over the limit",
    (session, node) => postThenRead(node, session.path, "4".repeat(5 * TOO_MUCH)),
    endsSession(413),
    "payload_too_large",
  ],
  ["a packet of an unknown type", (session) => session.post("9hello"), endsSession(200), "parse_error"],
  [
    "an empty packet among others",
    (session) => session.post(['42["never"]', "", '42["never"]'].join(SEPARATOR)),
    endsSession(200, 400),
    "parse_error",
  ],
  ["a ping, which only a server sends", (session) => session.post("2"), endsSession(200, 400), "ping_from_client"],
  ["bad base64", (session) => session.post("b****"), endsSession(200), "forced"],
  ["a Socket.IO packet that is none", (session) => session.post("4not a packet"), endsSession(200), "forced"],
  ["a truncated Socket.IO event", (session) => session.post('42["never", {"a":'), endsSession(200), "forced"],
  ["binary that nobody announced", (session) => session.post("bAAECAw=="), endsSession(200), "forced"],
  [
    "a truncated binary event",
    (session) => session.post(`451-["never",{"_placeholder":true,"num":0}]${SEPARATOR}42["never"]`),
    endsSession(200),
    "forced",
  ],

  ["a frame over the limit", () => encodeFrame({ length: TOO_MUCH }), closesWith(1009), "message_too_big"],
  [
    "a message over the limit, in pieces",
    () => {
      const piece = Buffer.alloc(600_000, "4");
      return Buffer.concat([
        encodeFrame({ payload: piece, fin: false }),
        encodeFrame({ opcode: OPCODE.continuation, payload: piece }),
      ]);
    },
    closesWith(1009),
    "message_too_big",
  ],
  ["text that is not UTF-8", () => textFrame([0x34, 0xff, 0xfe]), closesWith(1007), "text_not_utf8"],
  ["a frame without a mask", () => encodeFrame({ payload: "2", mask: false }), closesWith(1002), "mask_missing"],
  ["reserved bits", () => encodeFrame({ payload: "2", reserved: RESERVED.second }), closesWith(1002), "reserved_bits"],
  [
    "compressed data that nobody agreed to",
    () => encodeFrame({ payload: "2", reserved: RESERVED.compressed }),
    closesWith(1002),
    "reserved_bits",
  ],
  ["a reserved opcode", () => encodeFrame({ payload: "2", opcode: 3 }), closesWith(1002), "reserved_opcode"],
  ["a ping in pieces", () => encodeFrame({ opcode: OPCODE.ping, fin: false }), closesWith(1002), "control_fragmented"],
  [
    "a ping over 125 bytes",
    () => encodeFrame({ opcode: OPCODE.ping, payload: Buffer.alloc(126) }),
    closesWith(1002),
    "control_too_long",
  ],
  [
    "a continuation of nothing",
    () => encodeFrame({ opcode: OPCODE.continuation, payload: "2" }),
    closesWith(1002),
    "continuation_without_start",
  ],
  [
    "a text frame inside a message",
    () => Buffer.concat([encodeFrame({ payload: "4", fin: false }), textFrame("2")]),
    closesWith(1002),
    "data_inside_message",
  ],
  [
    "a close frame of one byte",
    () => encodeFrame({ opcode: OPCODE.close, payload: [3] }),
    closesWith(1002),
    "close_body_too_short",
  ],
  ["a close code that must not be sent", () => closeFrame(1006), closesWith(1002), "close_code_invalid"],
  ["a WebSocket packet of an unknown type", () => textFrame("9"), closesWith(1005, 1000), "packet_type_unknown"],
];

inWorld("bad input", { servers: ["amber"] }, (test) => {
  for (const [name, act, expect, cause] of CASES) {
    test(name, (world) => besides(world, () => expect(entrance(world), act), new RegExp(`cause="${cause}"`)));
  }
});

/** Does `bad` while a well-behaved session is connected: a counter must move, and the session must not be affected. */
async function besides(world, bad, counters = BAD) {
  const witness = await world.client("/", TRANSPORTS.upgrade);
  const { id } = witness;
  assert.equal(await witness.emitWithAck("echo", "before"), "before");
  const before = PLAIN ? undefined : await world.node.metrics();
  const during = witness.emitWithAck("echo", "during");
  await bad();
  assert.equal(await during, "during");
  if (before) {
    await until(
      `a counter like ${counters}`,
      async () => counterMoved(before, await world.node.metrics(), counters).length > 0,
    );
  }
  assert.equal(await witness.emitWithAck("echo", "after"), "after");
  assert.equal(witness.id, id);
}

/** The head of a request without its final empty line. */
const UNFINISHED_HEAD = requestHead("GET", engineUrl()).slice(0, -2);

/** Sends a POST, to a session of its own, that announces this many bytes and sends one. */
async function beginPost(node, contentLength) {
  const { path } = await PollingSession.open(node.port, { join: true });
  const head = requestHead("POST", path, { "content-length": contentLength });
  return new RawStream(node.port).write(`${head}4`);
}

inWorld(
  "bad requests",
  { servers: ["amber"], args: ["--header-timeout", "1s", "--body-timeout", "1s"], trunklineOnly: true },
  (test) => {
    const json = async (answer, status, pattern) => {
      assert.equal(answer.status, status, answer.body);
      assert.match(answer.headers["content-type"], /^application\/json/);
      assert.match(answer.body, pattern);
      JSON.parse(answer.body);
    };
    const cases = {
      "an unknown path": async (node) => json(await request(node.port, "GET", "/nowhere"), 404, /path|not.found/i),
      "an unknown hub": async (node) =>
        json(await request(node.port, "GET", engineUrl({}, "/clients/socketio/hubs/nowhere/")), 404, /hub/i),
      "what is not HTTP": async (node) => {
        const raw = await new RawStream(node.port).write("this is not HTTP\r\n\r\n").closed();
        assert.equal(raw.status, 400);
      },
      "headers without end": async (node) => {
        const raw = new RawStream(node.port).write(UNFINISHED_HEAD);
        for (let number = 0; number < 2000 && !raw.ended; number += 1) raw.write(`X-${number}: ${"x".repeat(100)}\r\n`);
        await raw.closed();
        assert.ok([431, 0].includes(raw.status), raw.text.slice(0, 100));
      },
      "headers that never end": async (node) => {
        const raw = new RawStream(node.port).write(UNFINISHED_HEAD);
        await raw.closed();
        assert.ok([408, 0].includes(raw.status), raw.text.slice(0, 100));
      },
      "headers one byte at a time": async (node) => {
        const raw = new RawStream(node.port);
        const drip = setInterval(() => raw.write("G"), 20);
        await raw.closed().finally(() => clearInterval(drip));
      },
      "a body that never comes": async (node) => {
        const raw = await beginPost(node, 100);
        await raw.closed();
        assert.ok([408, 400, 0].includes(raw.status), raw.text.slice(0, 100));
      },
      "a body over the limit, announced and never sent": async (node) => {
        const raw = await beginPost(node, 99_999_999);
        await raw.closed();
        assert.equal(raw.status, 413);
      },
      "a stream that says nothing": async (node) => {
        await new RawStream(node.port).closed();
      },
      "a WebSocket of another version": async (node) => {
        const raw = new RawStream(node.port).write(upgradeHead(socketUrl(), { "sec-websocket-version": "7" }));
        await until("an answer", () => raw.status);
        raw.destroy();
        assert.ok([400, 426].includes(raw.status));
      },
    };
    for (const [name, act] of Object.entries(cases)) {
      test(name, (world) => besides(world, () => act(world.node), name === "a stream that says nothing" ? /./ : BAD));
    }
  },
);

inWorld("bad trunks", { servers: ["amber"], trunklineOnly: true }, (test) => {
  const open = (headers) => upgradeHead("/trunk/v1", headers);
  const bearer = (options) => ({ authorization: `Bearer ${trunkToken(options)}` });
  const seconds = Math.floor(Date.now() / 1000);
  const refused = {
    "no token": [open({}), 401, "token_missing"],
    "a token that is none": [open({ authorization: "Bearer x.y" }), 401, "token_malformed"],
    "a wrong key": [open(bearer({ key: "wrong" })), 401, "token_signature"],
    "an unsigned token": [
      open({ authorization: `Bearer ${signToken({ aud: "trunkline" }, { alg: "none" })}` }),
      401,
      /^token_/,
    ],
    "an expired token": [open(bearer({ claims: { iat: seconds - 900, exp: seconds - 600 } })), 401, "token_expired"],
    "a token signed by a clock far ahead": [
      open(bearer({ claims: { iat: seconds + 900, exp: seconds + 1200 } })),
      401,
      "token_not_yet_valid",
      /[89]\d\d s in the future.*clock/,
    ],
    "a token signed by a clock far behind": [
      open(bearer({ claims: { iat: seconds - 1200, exp: seconds - 900 } })),
      401,
      "token_expired",
      /12\d\d s ago.*clock/,
    ],
    "another audience": [open(bearer({ claims: { aud: "somebody" } })), 401, "token_audience"],
    "a token for a day": [open(bearer({ claims: { exp: seconds + 86_400 } })), 401, "token_lifetime"],
    // In development a hub is created by its name, and this is no valid name.
    "an unknown hub": [open(bearer({ hub: "no where" })), 404, "hub_unknown"],
    "no upgrade": [requestText("GET", "/trunk/v1"), 400, "bad_request"],
  };
  for (const [name, [head, status, code, sentence = /.{10}/]] of Object.entries(refused)) {
    test(name, (world) =>
      besides(world, async () => {
        const raw = new RawStream(world.node.port).write(head);
        const answer = await until("the answer", () => raw.responses[0]);
        raw.destroy();
        assert.equal(answer.status, status);
        const body = JSON.parse(answer.body);
        assert.match(body.error, typeof code === "string" ? new RegExp(`^${code}$`) : code);
        assert.match(body.message, sentence, "it says what to do");
      }),
    );
  }

  test("clocks that are a minute and a half apart do no harm", async (world) => {
    for (const offset of [-90, 90, -290, 290]) {
      const raw = new RawStream(world.node.port).write(
        open(bearer({ claims: { iat: seconds + offset, exp: seconds + offset + 300 } })),
      );
      await until("the answer", () => raw.status !== 0);
      raw.destroy();
      assert.equal(raw.status, 101, `${offset} s: ${raw.text}`);
    }
  });

  test("a flood of them fills no log", (world) =>
    besides(world, async () => {
      const before = world.node.log.count(/trunk refused/);
      const answers = await Promise.all(
        Array.from({ length: 200 }, () => request(world.node.port, "GET", "/trunk/v1")),
      );
      assert.ok(answers.every(({ status }) => status === 400));
      assert.ok(world.node.log.count(/trunk refused/) <= before + 2, world.node.log.text);
    }));

  const binary = (bytes) => encodeFrame({ opcode: OPCODE.binary, payload: bytes });
  const garbage = {
    "garbage instead of Hello": binary([0x7f, 0x03, 1, 2, 3]),
    "a truncated Hello": binary([0x01, 0x20, 1]),
    "a frame that is longer than its batch": binary([0x01, 0xff, 0xff, 0xff, 0xff, 0x0f]),
    "another frame before Hello": binary([0x04, 0x01, 7]),
    "an empty batch": binary([]),
    "a text message": textFrame("hello"),
    noise: binary(Array.from({ length: 300 }, (_, at) => (at * 37) % 256)),
    "a frame that breaks RFC 6455": encodeFrame({ opcode: 11 }),
  };
  for (const [name, bytes] of Object.entries(garbage)) {
    test(name, (world) =>
      besides(world, async () => {
        const trunk = await new WebSocketClient(world.node.port, "/trunk/v1", { headers: bearer({}) }).open();
        trunk.raw(bytes);
        const code = await trunk.closedWith();
        trunk.destroy();
        assert.ok([1002, 1003, 1007, 1008].includes(code), `close code ${code}`);
      }),
    );
  }

  test("a trunk that is cut in the middle of a frame", (world) =>
    besides(world, async () => {
      const trunk = await new WebSocketClient(world.node.port, "/trunk/v1", { headers: bearer({}) }).open();
      trunk.raw(binary(Buffer.alloc(100)).subarray(0, 20));
      await until("written", () => trunk.unsentBytes === 0);
      trunk.destroy();
    }));
});
