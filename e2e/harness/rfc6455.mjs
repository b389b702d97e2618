// RFC 6455 and RFC 7692 as a table: what a client sends after it has joined, what a server must answer, and how to see
// what it does answer. The app on the other side answers `echo` with its arguments.
import { constants, deflateRawSync, inflateRawSync } from "node:zlib";
import { EngineSocket, socketUrl } from "../../testing/engine.mjs";
import { encodeFrame, OPCODE, RESERVED } from "../../testing/frames.mjs";
import { until } from "../../testing/wait.mjs";

const { text, binary, continuation, close, ping, pong } = OPCODE;

/** Socket.IO's default `maxHttpBufferSize`. */
const MESSAGE_BYTES_MAX = 1_000_000;

const bytes = (...numbers) => Buffer.from(numbers);
const frame = (opcode, payload = "", rest = {}) => encodeFrame({ opcode, payload, ...rest });
const echo = (id, what) => `42${id}["echo",${JSON.stringify(what)}]`;
/** An echo whose packet is exactly this many bytes. */
const echoOf = (length) => `421["echo","${"x".repeat(length - 14)}"]`;
const closing = (code, reason = "") => Buffer.concat([bytes(code >> 8, code & 255), Buffer.from(reason)]);
/** One message in frames of these payloads. */
const fragments = (opcode, ...payloads) =>
  payloads.map((payload, at) => frame(at === 0 ? opcode : continuation, payload, { fin: at === payloads.length - 1 }));
/** An echo in whose text these bytes stand: UTF-8, or not. */
const around = (middle) => Buffer.concat([Buffer.from('421["echo","'), middle, Buffer.from('"]')]);
/** The binary event that asks for an attachment back. */
const BINARY_ECHO = frame(text, '451-1["echo",{"_placeholder":true,"num":0}]');
const attached = (length) => `text 461-1[{"_placeholder":true,"num":0}], binary of ${length} bytes, open`;
const deflated = (data) => deflateRawSync(data, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4);
const compressed = (payload, rest = {}) => frame(text, payload, { reserved: RESERVED.compressed, ...rest });
/** A frame whose length is written in more bytes than it needs. */
function longLength(payload, lengthBytes) {
  const length = Buffer.alloc(lengthBytes);
  if (lengthBytes === 2) length.writeUInt16BE(payload.length);
  else length.writeBigUInt64BE(BigInt(payload.length));
  return Buffer.concat([bytes(0x81, lengthBytes === 2 ? 0xfe : 0xff), length, bytes(0, 0, 0, 0), Buffer.from(payload)]);
}

const OPEN = "open";
const acked = (what, id = 1) => `text 43${id}[${JSON.stringify(what)}]`;
const FINE = `${acked("x")}, ${OPEN}`;
/** A violation: the close frame's code, and the end of the stream. */
const failsWith = (code) => `close ${code}, end`;

/** `[name, what is sent, what must come back]`, by section of the RFC. */
const FRAMING = {
  "5.1 masking": [
    [
      "a mask of zeros",
      Buffer.concat([bytes(0x81, 0x80 | echo(1, "x").length, 0, 0, 0, 0), Buffer.from(echo(1, "x"))]),
      FINE,
    ],
    ...[
      ["text", text, echo(1, "x")],
      ["binary", binary, "x"],
      ["continuation", continuation, "x"],
      ["ping", ping, "x"],
      ["pong", pong, "x"],
      ["close", close, closing(1000)],
    ].map(([name, opcode, payload]) => [
      `${name} without a mask`,
      frame(opcode, payload, { mask: false }),
      failsWith(1002),
    ]),
  ],
  "5.2 length": [
    ...[125, 126, 127, 128, 65_535, 65_536, 65_537, MESSAGE_BYTES_MAX].map((length) => [
      `text of ${length} bytes`,
      frame(text, echoOf(length)),
      `text of ${length - 7} bytes, open`,
    ]),
    ...[0, 1, 125, 126, 65_535, 65_536].map((length) => [
      `binary of ${length} bytes`,
      [BINARY_ECHO, frame(binary, Buffer.alloc(length, 0xfe))],
      attached(length),
    ]),
    ["a small length in 16 bits", longLength(echo(1, "x"), 2), FINE],
    ["a small length in 64 bits", longLength(echo(1, "x"), 8), FINE],
    ["one byte more than the limit", frame(text, echoOf(MESSAGE_BYTES_MAX + 1)), failsWith(1009)],
    ["a header that announces 2^32", frame(text, "4", { length: 2 ** 32 }), failsWith(1009)],
    ["a header that announces 2^53", frame(text, "4", { length: 2 ** 53 }), failsWith(1009)],
    ["a length with its highest bit set", bytes(0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4), failsWith(1009)],
  ],
  "5.2 reserved": [
    ...[1, 2, 3, 4, 5, 6, 7].map((reserved) => [
      `reserved bits ${reserved.toString(2).padStart(3, "0")}`,
      frame(text, echo(1, "x"), { reserved }),
      failsWith(1002),
    ]),
    ["a reserved bit in a ping", frame(ping, "", { reserved: RESERVED.third }), failsWith(1002)],
    [
      "a reserved bit in a continuation",
      [frame(text, "4", { fin: false }), frame(continuation, "2", { reserved: RESERVED.second })],
      failsWith(1002),
    ],
    ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) => [`opcode ${opcode}`, frame(opcode, "x"), failsWith(1002)]),
  ],
  "5.4 fragments": [
    ["text in two frames", fragments(text, '421["echo",', '"x"]'), FINE],
    ["text in frames of one byte", fragments(text, ...echo(1, "x")), FINE],
    ["an empty first frame", fragments(text, "", echo(1, "x")), FINE],
    ["an empty middle frame", fragments(text, '421["echo",', "", '"x"]'), FINE],
    ["an empty last frame", fragments(text, echo(1, "x"), ""), FINE],
    ["a hundred empty frames", fragments(text, ...Array(100).fill(""), echo(1, "x")), FINE],
    ["binary in three frames", [BINARY_ECHO, ...fragments(binary, "a", "bc", "d")], attached(4)],
    [
      "a ping between two frames",
      [frame(text, '421["echo",', { fin: false }), frame(ping, "now"), frame(continuation, '"x"]')],
      `pong now, ${FINE}`,
    ],
    [
      "a pong between two frames",
      [frame(text, '421["echo",', { fin: false }), frame(pong, "now"), frame(continuation, '"x"]')],
      FINE,
    ],
    ["a message in single bytes of the stream", { slowly: frame(text, echo(1, "x")) }, FINE],
    [
      "three messages in one write",
      [1, 2, 3].map((id) => frame(text, echo(id, "x"))),
      `${[1, 2, 3].map((id) => acked("x", id)).join(", ")}, open`,
    ],
    ["a continuation of nothing", frame(continuation, "x"), failsWith(1002)],
    ["a last continuation of nothing", frame(continuation, "x", { fin: false }), failsWith(1002)],
    [
      "a continuation after the last frame",
      [...fragments(text, '421["echo",', '"x"]'), frame(continuation, "y")],
      failsWith(1002),
    ],
    ["text inside a message", [frame(text, "4", { fin: false }), frame(text, "2")], failsWith(1002)],
    ["binary inside a message", [frame(text, "4", { fin: false }), frame(binary, "2")], failsWith(1002)],
    [
      "a message in frames that is over the limit",
      fragments(text, "4", "x".repeat(MESSAGE_BYTES_MAX)),
      failsWith(1009),
    ],
  ],
  "5.5 control frames": [
    ["a ping without a payload", frame(ping), `pong, ${OPEN}`],
    ["a ping of bytes that are no UTF-8", frame(ping, bytes(0xff, 0xfe)), `pong fffe, ${OPEN}`],
    ["a ping of 125 bytes", frame(ping, "p".repeat(125)), `pong of 125 bytes, ${OPEN}`],
    [
      "ten pings in one write",
      Array.from({ length: 10 }, (_, at) => frame(ping, `${at}`)),
      `${Array.from({ length: 10 }, (_, at) => `pong ${at}`).join(", ")}, open`,
    ],
    ["a pong that nobody asked for", [frame(pong, "x"), frame(text, echo(1, "x"))], FINE],
    ["an empty pong that nobody asked for", [frame(pong), frame(text, echo(1, "x"))], FINE],
    ...[
      ["ping", ping],
      ["pong", pong],
      ["close", close],
    ].flatMap(([name, opcode]) => [
      [`a ${name} of 126 bytes`, frame(opcode, closing(1000, "r".repeat(124))), failsWith(1002)],
      [`a ${name} in fragments`, frame(opcode, closing(1000), { fin: false }), failsWith(1002)],
    ]),
  ],
  "5.5.1 and 7.4 closing": [
    ["a close without a code", frame(close), failsWith(1005)],
    ["a close with a reason", frame(close, closing(1000, "bye")), failsWith(1000)],
    ["a close with a reason of 123 bytes", frame(close, closing(1000, "r".repeat(123))), failsWith(1000)],
    ...[1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999].map((code) => [
      `a close with ${code}`,
      frame(close, closing(code)),
      failsWith(code),
    ]),
    ...[0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535].map((code) => [
      `a close with ${code}, which no endpoint may send`,
      frame(close, closing(code)),
      failsWith(1002),
    ]),
    ["a close of one byte", frame(close, "x"), failsWith(1002)],
    ["a close whose reason is no UTF-8", frame(close, closing(1000, bytes(0xc3))), failsWith(1007)],
    ["a close inside a message", [frame(text, "4", { fin: false }), frame(close, closing(1001))], failsWith(1001)],
    ["a ping after a close", [frame(close, closing(1000)), frame(ping, "late")], failsWith(1000)],
    ["a message after a close", [frame(close, closing(1000)), frame(text, echo(1, "late"))], failsWith(1000)],
    ["two closes", [frame(close, closing(1000)), frame(close, closing(1001))], failsWith(1000)],
  ],
  "8.1 UTF-8": [
    ...["κόσμε", "\u007f\u0080", "\u07ff\u0800", "\ud7ff\ue000", "\ufffe\uffff", "\u{10000}\u{10ffff}"].map((what) => [
      `text with ${[...what].map((char) => `U+${char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`).join(" ")}`,
      frame(text, echo(1, what)),
      `${acked(what)}, ${OPEN}`,
    ]),
    [
      "a character in two frames",
      fragments(text, around(bytes(0xc3)).subarray(0, 13), Buffer.concat([bytes(0xa9), Buffer.from('"]')])),
      `${acked("é")}, ${OPEN}`,
    ],
    ["binary that is no UTF-8", [BINARY_ECHO, frame(binary, bytes(0xff))], attached(1)],
    ...[
      ["a byte that only continues", 0x80],
      ["the byte FF", 0xff],
      ["two bytes for U+002F", 0xc0, 0xaf],
      ["three bytes for U+002F", 0xe0, 0x80, 0xaf],
      ["four bytes for U+002F", 0xf0, 0x80, 0x80, 0xaf],
      ["the surrogate U+D800", 0xed, 0xa0, 0x80],
      ["the surrogate U+DFFF", 0xed, 0xbf, 0xbf],
      ["U+110000", 0xf4, 0x90, 0x80, 0x80],
      ["a character of five bytes", 0xf8, 0x88, 0x80, 0x80, 0x80],
      ["half a character", 0xe2, 0x82],
    ].map(([name, ...wrong]) => [`text with ${name}`, frame(text, around(bytes(...wrong))), failsWith(1007)]),
    ["text that ends in half a character", frame(text, bytes(0x34, 0xe2, 0x82)), failsWith(1007)],
    ["half a character at the end of the last frame", fragments(text, "4", bytes(0xe2)), failsWith(1007)],
  ],
};

const COMPRESSION = {
  "RFC 7692, 7 compression": [
    ["a compressed message", compressed(deflated(echo(1, "x"))), FINE],
    ["a message that is not compressed", frame(text, echo(1, "x")), FINE],
    [
      "a compressed message in two frames",
      [
        compressed(deflated(echo(1, "x")).subarray(0, 5), { fin: false }),
        frame(continuation, deflated(echo(1, "x")).subarray(5)),
      ],
      FINE,
    ],
    [
      "a ping inside a compressed message",
      [
        compressed(deflated(echo(1, "x")).subarray(0, 5), { fin: false }),
        frame(ping, "now"),
        frame(continuation, deflated(echo(1, "x")).subarray(5)),
      ],
      `pong now, ${FINE}`,
    ],
    [
      "a message whose blocks are stored",
      compressed(deflateRawSync(echo(1, "x"), { level: 0, finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4)),
      FINE,
    ],
    ["a message whose last block says so", compressed(Buffer.concat([deflateRawSync(echo(1, "x")), bytes(0)])), FINE],
    [
      "two compressed messages",
      [1, 2].map((id) => compressed(deflated(echo(id, "x")))),
      `${acked("x")}, ${acked("x", 2)}, open`,
    ],
    ["an answer that is worth compressing", frame(text, echoOf(5000)), "compressed text of 4993 bytes, open"],
    ["bytes that are no DEFLATE", compressed(bytes(0xff, 0xff, 0xff)), failsWith(1007)],
    ["a compressed text that is no UTF-8", compressed(deflated(around(bytes(0xff)))), failsWith(1007)],
    [
      "a message that inflates beyond the limit",
      compressed(deflated(Buffer.alloc(MESSAGE_BYTES_MAX + 1, "x"))),
      failsWith(1009),
    ],
    [
      "the bit of compression in a continuation",
      [frame(text, "4", { fin: false }), frame(continuation, "2", { reserved: RESERVED.compressed })],
      failsWith(1002),
    ],
    ["the bit of compression in a ping", frame(ping, "", { reserved: RESERVED.compressed }), failsWith(1002)],
    ["reserved bit 2", frame(text, echo(1, "x"), { reserved: RESERVED.second }), failsWith(1002)],
  ],
};

/** The app's options, and the table that holds for them. */
export const TABLES = [
  { options: {}, table: FRAMING },
  {
    options: { perMessageDeflate: { threshold: 1024 } },
    offer: "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    table: COMPRESSION,
  },
];

/** Every case of a table: `{ section, name, sent, expected }`. */
export const casesOf = (table) =>
  Object.entries(table).flatMap(([section, rows]) =>
    rows.map(([name, sent, expected]) => ({ section, name, sent, expected })),
  );

/** The id of the echo that follows each case: its answer shows that the session goes on. */
const LAST = 9;

/** Sends a case in a session of its own; resolves with what the server sent, in the table's words. */
export async function play(port, { sent }, offer) {
  const client = new Seen(port, offer);
  try {
    await client.opened();
    client.text("40");
    await until("the namespace", () => client.texts.some((packet) => packet.startsWith("40")));
    client.seen = [];
    if (sent.slowly) for (const byte of sent.slowly) await client.written(bytes(byte));
    else client.raw(Buffer.concat([sent].flat()));
    client.text(echo(LAST, "end"));
    await until("an answer or the end", () => client.ended || client.texts.includes(`43${LAST}["end"]`));
    return [...client.seen, client.ended ? "end" : OPEN].join(", ");
  } finally {
    client.destroy();
  }
}

/** A session that notes every frame. */
class Seen extends EngineSocket {
  seen = [];

  constructor(port, offer) {
    super(port, socketUrl(), { headers: offer ? { "sec-websocket-extensions": offer } : {} });
    this.onText = (packet) => {
      this.texts.push(packet);
      if (packet !== `43${LAST}["end"]`) this.seen.push(told("text", Buffer.from(packet)));
    };
    this.onCompressed = (payload) => {
      const whole = Buffer.concat([payload, bytes(0, 0, 0xff, 0xff)]);
      const packet = inflateRawSync(whole, { finishFlush: constants.Z_SYNC_FLUSH });
      this.texts.push(packet.toString());
      this.seen.push(told("compressed text", packet));
    };
  }

  receiveMessage(message) {
    if (message.opcode === binary) this.seen.push(`binary of ${message.payload.length} bytes`);
    return super.receiveMessage(message);
  }
  receiveControl({ opcode, payload }) {
    if (opcode === close) this.seen.push(`close ${this.closeCode}`);
    else this.seen.push(told(opcode === pong ? "pong" : "ping", payload));
  }
  /** Sends these bytes alone: the next ones come in another segment. */
  written(chunk) {
    return new Promise((done) => this.socket.write(chunk, () => setImmediate(done)));
  }
}

function told(what, payload) {
  if (payload.length === 0) return what;
  if (payload.length > 100) return `${what} of ${payload.length} bytes`;
  const string = payload.toString();
  return `${what} ${Buffer.from(string).equals(payload) ? string : payload.toString("hex")}`;
}
