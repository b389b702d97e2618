// Violations of RFC 6455 that need more than one frame.
import { OPCODE } from "../../../testing/frames.mjs";

const { text, continuation, close } = OPCODE;

export const options = { maxHttpBufferSize: 1000 };

export const table = {
  "a new message inside a message": [
    { opcode: text, payload: "4", fin: false },
    { opcode: text, payload: "2" },
  ],
  "the sum is over the limit": [
    { opcode: text, payload: "4" + "x".repeat(600), fin: false },
    { opcode: continuation, payload: "x".repeat(600) },
  ],
  "invalid UTF-8 only in the whole": [
    { opcode: text, payload: Buffer.from([0x34, 0xe2]), fin: false },
    { opcode: continuation, payload: "x" },
  ],
  "close inside a message": [
    { opcode: text, payload: "4", fin: false },
    { opcode: close, payload: "" },
  ],
  "frames after a close frame": [
    { opcode: close, payload: Buffer.from([3, 232]) },
    { opcode: text, payload: '42["late"]' },
  ],
};

export async function run(t, frames) {
  const ws = await t.direct({ join: true });
  for (const frame of frames) ws.frame(frame);
  t.log("server", await ws.rest());
  await t.saw("close");
}
