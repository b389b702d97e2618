// Fragmented messages, with control frames in between.
import { OPCODE } from "../../../testing/frames.mjs";

const { text, continuation, binary, ping } = OPCODE;

export const table = {
  "two fragments": [
    { opcode: text, payload: '42["echo"', fin: false },
    { opcode: continuation, payload: ',"x"]' },
  ],
  "a character across fragments": [
    { opcode: text, payload: Buffer.concat([Buffer.from('42["echo","'), Buffer.from([0xc3])]), fin: false },
    { opcode: continuation, payload: Buffer.concat([Buffer.from([0xbc]), Buffer.from('"]')]) },
  ],
  "empty fragments": [
    { opcode: text, payload: "", fin: false },
    { opcode: continuation, payload: '42["echo",1]', fin: false },
    { opcode: continuation, payload: "" },
  ],
  "a ping between fragments": [
    { opcode: text, payload: '42["echo"', fin: false },
    { opcode: ping, payload: "between" },
    { opcode: continuation, payload: ",2]" },
  ],
  "binary in fragments": [
    { opcode: text, payload: '451-["echo",{"_placeholder":true,"num":0}]' },
    { opcode: binary, payload: Buffer.from([1]), fin: false },
    { opcode: continuation, payload: Buffer.from([2]), fin: false },
    { opcode: continuation, payload: Buffer.from([3]) },
  ],
  "one byte at a time": "bytes",
};

export async function run(t, frames) {
  const ws = await t.direct({ join: true });
  if (frames === "bytes")
    frames = [...'42["echo",3]'].map((payload, at) => ({
      opcode: at ? continuation : text,
      payload,
      fin: payload === "]",
    }));
  for (const frame of frames) ws.frame(frame);
  for (let line = ""; !line.startsWith("text 4"); ) t.log("server", (line = await ws.next()));
  if (frames.some((frame) => frame.opcode === binary)) t.log("server", await ws.next());
}
