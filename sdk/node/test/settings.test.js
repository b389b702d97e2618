/** Options as JavaScript reads them: what Engine.IO takes, the node gets in the only form that it takes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeSettings } from "../dist/esm/socketio/settings.js";

const MAX = 2 ** 31 - 1;
const DELAYS = [
  ["25000", 25000],
  [25000 / 3, 8333],
  [0, 1],
  [-5, 1],
  [null, 1],
  ["", 1],
  ["10s", 1],
  [Infinity, 1],
  [2 ** 31, 1],
  [1e3, 1000],
  [5n, 5],
  [Symbol("x"), 1],
  [{ valueOf: () => 7 }, 7],
];
const BYTES = [
  ["2000000", 2e6],
  [1e6 + 0.7, 1e6],
  [Infinity, MAX],
  [0, MAX],
  [-1, MAX],
  [NaN, MAX],
  ["1mb", MAX],
  [1e10, MAX],
];
const FLAGS = [
  ["true", true],
  ["false", true],
  [1, true],
  [0, false],
  ["", false],
  [null, false],
];
const ROWS = [
  // Engine.IO assigns it over the default.
  ["pingInterval", undefined, 1],
  ["maxHttpBufferSize", undefined, MAX],
  ["allowUpgrades", undefined, false],
  ["httpCompression", undefined, false],
  ...["pingInterval", "pingTimeout", "upgradeTimeout", "connectTimeout"].flatMap((name) =>
    DELAYS.map(([said, read]) => [name, said, read]),
  ),
  ...BYTES.map(([said, read]) => ["maxHttpBufferSize", said, read]),
  ...["allowUpgrades", "allowEIO3"].flatMap((name) => FLAGS.map(([said, read]) => [name, said, read])),
  ["addTrailingSlash", false, false],
  ["addTrailingSlash", 0, true],
  ["addTrailingSlash", null, true],
  ["transports", "websocket", ["websocket"]],
  ["transports", "websocket,polling", ["polling", "websocket"]],
  ["transports", ["webtransport"], []],
  ["transports", [1, "polling"], ["polling"]],
  ["httpCompression", 0, false],
  ["httpCompression", null, false],
  ["httpCompression", true, { threshold: 0 }],
  ["httpCompression", { threshold: "2048" }, { threshold: 2048 }],
  ["httpCompression", { threshold: 1023.5 }, { threshold: 1024 }],
  ["httpCompression", { threshold: -1 }, { threshold: 0 }],
  ["httpCompression", { threshold: Infinity }, { threshold: MAX }],
  ["httpCompression", { threshold: "much" }, { threshold: 0 }],
  ["perMessageDeflate", "", false],
  ["perMessageDeflate", true, { zlibDeflateOptions: {} }],
  ["perMessageDeflate", "yes", { zlibDeflateOptions: {} }],
  ["perMessageDeflate", { threshold: "much" }, { threshold: MAX, zlibDeflateOptions: {} }],
  [
    "perMessageDeflate",
    { serverNoContextTakeover: 1, clientMaxWindowBits: "10", serverMaxWindowBits: 10 },
    { serverNoContextTakeover: true, serverMaxWindowBits: 10, zlibDeflateOptions: {} },
  ],
  [
    "perMessageDeflate",
    { zlibDeflateOptions: { level: NaN, memLevel: 7.9, dictionary: Buffer.alloc(9) } },
    { zlibDeflateOptions: { memLevel: 7 } },
  ],
  // These throw in plain Socket.IO, too, with the first message: the node refuses them by name.
  [
    "perMessageDeflate",
    { serverMaxWindowBits: Infinity, zlibDeflateOptions: { level: "6" } },
    { serverMaxWindowBits: "Infinity", zlibDeflateOptions: { level: "6" } },
  ],
  ["connectionStateRecovery", 0, false],
  [
    "connectionStateRecovery",
    { maxDisconnectionDuration: "60000", skipMiddlewares: "no" },
    { maxDisconnectionDuration: 60000, skipMiddlewares: true },
  ],
  ["connectionStateRecovery", { maxDisconnectionDuration: Infinity }, { maxDisconnectionDuration: MAX }],
  ["connectionStateRecovery", { maxDisconnectionDuration: undefined }, { maxDisconnectionDuration: MAX }],
  ["connectionStateRecovery", { maxDisconnectionDuration: 0 }, { maxDisconnectionDuration: 1 }],
];
for (const [name, said, read] of ROWS) {
  test(`${name}: ${typeof said === "object" ? JSON.stringify(said) : String(said)} (${typeof said}) is ${JSON.stringify(read)}`, () => {
    const { settings } = nodeSettings({ [name]: said });
    assert.deepEqual(settings, { [name]: read });
    // It goes over the trunk as it is.
    assert.deepEqual(JSON.parse(JSON.stringify(settings)), settings);
  });
}

test("what is not said is left out, and what is no option of a node's stays here", () => {
  const circular = {};
  circular.self = circular;
  assert.deepEqual(nodeSettings({ path: undefined, maxBufferedChunks: undefined, cors: circular, wsEngine: () => 1 }), {
    settings: {},
    unhonoured: [],
  });
});

const SAID = [
  [{ maxHttpBufferSize: Infinity }, /^maxHttpBufferSize: a node takes no more than/],
  [{ transports: ["polling", "webtransport"] }, /^transports: the node has no webtransport yet/],
  [{ transports: [] }, /^transports: .*it refuses every client/],
  [{ httpCompression: { threshold: 1, level: 9 } }, /^httpCompression: .*not with level/],
  [
    { connectionStateRecovery: { maxDisconnectionDuration: Infinity } },
    /^connectionStateRecovery: a node keeps sockets for/,
  ],
];
for (const [options, sentence] of SAID) {
  test(`${JSON.stringify(options)} is said`, () => {
    const { unhonoured } = nodeSettings(options);
    assert.equal(unhonoured.length, 1);
    assert.match(unhonoured[0], sentence);
  });
}
