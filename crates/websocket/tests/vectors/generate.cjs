"use strict";

// Writes negotiate.txt and inflate.txt: what npm `ws` answers and inflates.
//   cd conformance && npm ci && NODE_PATH=$PWD/node_modules node ../crates/websocket/tests/vectors/generate.cjs
const { writeFileSync } = require("node:fs");
const { dirname, join } = require("node:path");
const zlib = require("node:zlib");

const lib = join(dirname(require.resolve("ws/package.json")), "lib");
const { format, parse } = require(join(lib, "extension.js"));
const PerMessageDeflate = require(join(lib, "permessage-deflate.js"));

const MESSAGE_BYTES_MAX = 5000;

const SETTINGS = [
  [0, 0],
  [15, 0],
  [12, 0],
  [8, 0],
  [0, 15],
  [0, 10],
  [11, 9],
];

const HEADERS = [
  "permessage-deflate",
  "permessage-deflate; client_max_window_bits",
  "permessage-deflate; client_max_window_bits; server_max_window_bits=15",
  "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
  "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
  "permessage-deflate; client_no_context_takeover; client_max_window_bits=10; server_no_context_takeover",
  "permessage-deflate; client_max_window_bits=15",
  "permessage-deflate; client_max_window_bits=8; server_max_window_bits=8",
  "permessage-deflate; server_max_window_bits=9, permessage-deflate",
  "permessage-deflate; client_max_window_bits=9, permessage-deflate; client_max_window_bits",
  "permessage-deflate; server_max_window_bits=10, permessage-deflate; server_max_window_bits=14; client_max_window_bits=14",
  "x-webkit-deflate-frame, permessage-deflate; client_max_window_bits",
  'permessage-bzip2; quality=9; name="x", permessage-deflate',
  "permessage-deflate;client_max_window_bits",
  "permessage-deflate ;\tclient_max_window_bits = 10",
  "permessage-deflate ;\tclient_max_window_bits ; server_no_context_takeover",
  'permessage-deflate; client_max_window_bits="10"',
  'permessage-deflate; client_max_window_bits="1\\0" ; server_no_context_takeover',
  'permessage-deflate; server_max_window_bits="12",x',
  "permessage-deflate; server_max_window_bits=012",
  "permessage-deflate; server_max_window_bits=+12",
  "x-webkit-deflate-frame",
  "x-webkit-deflate-frame; a=b; c",
  "Permessage-Deflate",
  "permessage-deflate; server_max_window_bits",
  "permessage-deflate; server_max_window_bits=7",
  "permessage-deflate; server_max_window_bits=16",
  "permessage-deflate; server_max_window_bits=-9",
  "permessage-deflate; server_max_window_bits=9.5",
  "permessage-deflate; server_max_window_bits=300",
  "permessage-deflate; client_max_window_bits=7",
  "permessage-deflate; client_max_window_bits=16",
  "permessage-deflate; client_max_window_bits=x",
  "permessage-deflate; client_no_context_takeover=1",
  "permessage-deflate; server_no_context_takeover=true",
  "permessage-deflate; client_max_window_bits; client_max_window_bits",
  "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
  "permessage-deflate; mux",
  "permessage-deflate, permessage-deflate; mux",
  "permessage-deflate; Client_Max_Window_Bits",
  "",
  " permessage-deflate",
  "permessage-deflate ",
  "permessage-deflate,",
  "permessage-deflate;",
  ",permessage-deflate",
  "permessage-deflate, , x",
  "permessage-deflate;; client_max_window_bits",
  "permessage deflate",
  "permessage-deflate client_max_window_bits",
  "permessage-deflate; client_max_window_bits=",
  "permessage-deflate; client_max_window_bits= 10",
  'permessage-deflate; client_max_window_bits=""',
  'permessage-deflate; client_max_window_bits="10',
  'permessage-deflate; client_max_window_bits="1 0"',
  'permessage-deflate; client_max_window_bits="10"0',
  'permessage-deflate; client_max_window_bits="10\\',
  'permessage-deflate; client_max_window_bits=1"0"',
  "permessage-deflate; =10",
  "permessage-deflate=1",
  "permessage-d\u00e9flate",
  'x; a="b,c"',
  "permessage-deflate, x; a=(",
];

function negotiate([server, client], header) {
  const extension = new PerMessageDeflate({
    isServer: true,
    serverNoContextTakeover: true,
    clientNoContextTakeover: true,
    serverMaxWindowBits: server || undefined,
    clientMaxWindowBits: client || undefined,
  });
  try {
    const offers = parse(header)["permessage-deflate"];
    return offers ? format({ "permessage-deflate": [extension.accept(offers)] }) : "none";
  } catch {
    return "400";
  }
}

const negotiated = SETTINGS.flatMap((settings) =>
  HEADERS.map((header) => [...settings, header, negotiate(settings, header)].join("|")),
);
writeFileSync(join(__dirname, "negotiate.txt"), `${negotiated.join("\n")}\n`);

let seed = 1;
function random(below) {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  return (seed >>> 8) % below;
}

function flushed(text, options) {
  const made = zlib.deflateRawSync(text, { finishFlush: zlib.constants.Z_SYNC_FLUSH, ...options });
  return made.subarray(0, made.length - 4);
}

function inflate(payload) {
  const extension = new PerMessageDeflate({ isServer: true, maxPayload: MESSAGE_BYTES_MAX });
  extension.accept([{ client_no_context_takeover: [true] }]);
  return new Promise((resolve) => {
    extension.decompress(payload, true, (error, data) => {
      const code = Object.getOwnPropertySymbols(error ?? {}).find((key) => key.description === "status-code");
      resolve(error ? `${error[code]}|` : `ok|${data.toString("hex")}`);
      extension.cleanup();
    });
  });
}

function* payloads() {
  const texts = [
    "",
    "a",
    "Hello",
    '2["chat message",{"from":"alice","text":"hello"}]',
    '2["tick",' + JSON.stringify(Array.from({ length: 40 }, (_, id) => ({ id, price: id * 7 }))) + "]",
    "\u00e9\u20ac\u{1f600}".repeat(30),
    "a".repeat(MESSAGE_BYTES_MAX),
    "a".repeat(MESSAGE_BYTES_MAX + 1),
    "ab".repeat(40000),
    Buffer.from(Array.from({ length: 300 }, () => random(256))),
  ];
  const { Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE } = zlib.constants;
  for (const text of texts) {
    for (const options of [
      {},
      { level: 0 },
      { level: 1 },
      { level: 9, windowBits: 9 },
      { strategy: Z_FIXED },
      { strategy: Z_HUFFMAN_ONLY },
      { strategy: Z_RLE },
    ]) {
      yield flushed(text, options);
    }
    yield zlib.deflateRawSync(text);
    yield Buffer.concat([zlib.deflateRawSync(text), Buffer.from([0])]);
    yield Buffer.concat([zlib.deflateRawSync(text), Buffer.from("rest")]);
  }
  const two = [flushed("first half, "), Buffer.from([0, 0, 0xff, 0xff]), flushed("second half")];
  yield Buffer.concat(two);
  const sample = flushed(texts[3]);
  for (let end = 0; end <= sample.length; end += 1) yield sample.subarray(0, end);
  for (let bit = 0; bit < sample.length * 8; bit += 1) {
    const flipped = Buffer.from(sample);
    flipped[bit >> 3] ^= 1 << (bit & 7);
    yield flipped;
  }
  for (let round = 0; round < 400; round += 1) {
    yield Buffer.from(Array.from({ length: 1 + random(40) }, () => random(256)));
  }
}

async function main() {
  const lines = new Set();
  for (const payload of payloads()) {
    const line = `${payload.toString("hex")}|${await inflate(payload)}`;
    if (line.length < 12000) lines.add(line);
  }
  writeFileSync(join(__dirname, "inflate.txt"), `${[...lines].join("\n")}\n`);
}

main();
