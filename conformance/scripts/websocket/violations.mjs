// Frames that break RFC 6455: the code with which the server closes, and what the app sees.
import { OPCODE, RESERVED } from "../../../testing/frames.mjs";

const code = (number, rest = "") => Buffer.concat([Buffer.from([number >> 8, number & 255]), Buffer.from(rest)]);

export const options = { maxHttpBufferSize: 1000 };

export const table = {
  unmasked: { payload: '42["a"]', mask: false },
  "unmasked control frame": { opcode: OPCODE.ping, payload: "x", mask: false },
  "reserved bit 1": { payload: '42["a"]', reserved: RESERVED.compressed },
  "reserved bit 2": { payload: '42["a"]', reserved: RESERVED.second },
  "reserved bit 3": { payload: '42["a"]', reserved: RESERVED.third },
  "opcode 3": { opcode: 3, payload: "x" },
  "opcode 7": { opcode: 7, payload: "x" },
  "opcode 11": { opcode: 11, payload: "x" },
  "opcode 15": { opcode: 15, payload: "" },
  "continuation of nothing": { opcode: OPCODE.continuation, payload: "x" },
  "fragmented ping": { opcode: OPCODE.ping, payload: "x", fin: false },
  "ping of 126 bytes": { opcode: OPCODE.ping, payload: "p".repeat(126) },
  "text that is not UTF-8": { payload: Buffer.from([0x34, 0xff, 0xfe]) },
  "text with a surrogate in UTF-8": { payload: Buffer.from([0x34, 0xed, 0xa0, 0x80]) },
  "text with an overlong character": { payload: Buffer.from([0x34, 0xc0, 0xaf]) },
  "text cut inside a character": { payload: Buffer.from([0x34, 0xe2, 0x82]) },
  "message over the limit": { payload: "4" + "x".repeat(1000) },
  "binary over the limit": { opcode: OPCODE.binary, payload: Buffer.alloc(1001) },
  "header that announces too much": { length: 1_000_000, payload: "4" },
  "header that announces 2^63": { raw: Buffer.from([0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]) },
  "message at the limit": { payload: '42["echo",1]'.padEnd(1000), fine: true },
  "close with one byte": { opcode: OPCODE.close, payload: "x" },
  "close with code 999": { opcode: OPCODE.close, payload: code(999) },
  "close with code 1004": { opcode: OPCODE.close, payload: code(1004) },
  "close with code 1005": { opcode: OPCODE.close, payload: code(1005) },
  "close with code 1006": { opcode: OPCODE.close, payload: code(1006) },
  "close with code 1015": { opcode: OPCODE.close, payload: code(1015) },
  "close with code 1016": { opcode: OPCODE.close, payload: code(1016) },
  "close with code 2999": { opcode: OPCODE.close, payload: code(2999) },
  "close with code 5000": { opcode: OPCODE.close, payload: code(5000) },
  "close with a reason that is not UTF-8": { opcode: OPCODE.close, payload: code(1000, Buffer.from([0xff])) },
  "close of 126 bytes": { opcode: OPCODE.close, payload: code(1000, "r".repeat(124)) },
};

export async function run(t, { raw, fine, ...frame }) {
  const ws = await t.direct({ join: true });
  if (raw) ws.raw(raw);
  else ws.frame(frame);
  if (fine) return t.log("server", await ws.next());
  t.log("server", await ws.rest());
  await t.saw("close");
}
