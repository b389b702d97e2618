// Clients in Java (OkHttp) always offer deflate for WebSockets, ask for gzip over polling, and send no Origin.
import { deflateRawSync } from "node:zlib";
import { OPCODE, RESERVED } from "../../../testing/frames.mjs";
import { event } from "../../lib/tools.mjs";

const OFFER = {
  "sec-websocket-extensions": "permessage-deflate",
  "user-agent": "okhttp/3.12.12",
  "accept-encoding": "gzip",
};

/** A message as OkHttp compresses it: an empty last block is left out. */
function deflated(text) {
  const bytes = deflateRawSync(text, { finishFlush: 2 });
  return { opcode: OPCODE.text, reserved: RESERVED.compressed, payload: bytes.subarray(0, bytes.length - 4) };
}

export const table = {
  "not agreed to by default": { run: plain },
  "agreed to": { options: { perMessageDeflate: true }, run: compressed },
  "agreed to, and its own messages are not deflated": { options: { perMessageDeflate: true }, run: plain },
};
export const options = (row) => row.options ?? {};

async function plain(t) {
  const ws = await t.direct({ join: true, headers: OFFER });
  t.log("agreed", ws.response.headers["sec-websocket-extensions"] !== undefined);
  t.log("echo", await ws.text(event("echo", "short")).next());
}

async function compressed(t) {
  const ws = await t.direct({ join: true, headers: OFFER });
  for (const length of [200, 5000]) {
    ws.frame(deflated(event("echo", "x".repeat(length))));
    t.log("echo", await ws.next());
  }
}

export const run = (t, row) => row.run(t);
