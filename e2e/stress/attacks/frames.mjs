// WebSocket frames that no client sends.
import { compressedFrame, encodeFrame, OPCODE, RESERVED, textFrame } from "../../../testing/frames.mjs";
import { floods } from "./tools.mjs";

const many = (frame, count = 2_000) => Buffer.concat(Array(count).fill(frame));

export const FRAMES = {
  "wrong-frames": {
    what: "frames without a mask, with reserved bits, with unknown opcodes, with invalid text",
    named: /sessions_closed.*transport_error|misbehav/,
    run: (port, until) =>
      floods(port, 40, until, [
        many(Buffer.from([0x81, 1, 52])),
        encodeFrame({ payload: "4", reserved: RESERVED.second }),
        encodeFrame({ opcode: 3, payload: "4" }),
        textFrame(Buffer.from([52, 0xff, 0xfe])),
      ]),
  },
  "huge-frames": {
    what: "frames that claim to be 2 GB, and pour",
    named: /sessions_closed.*(transport_error|too_large)/,
    run: (port, until) => {
      const head = Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 1, 2, 3, 4]);
      return floods(port, 40, until, [Buffer.concat([head, Buffer.alloc(60_000)])]);
    },
  },
  "endless-messages": {
    what: "messages in parts that never end",
    named: /sessions_closed.*(transport_error|too_large)/,
    run: (port, until) => {
      const part = encodeFrame({ opcode: OPCODE.continuation, fin: false, payload: "x".repeat(30_000) });
      return floods(port, 20, until, [Buffer.concat([encodeFrame({ fin: false, payload: "4" }), many(part, 40)])]);
    },
  },
  bombs: {
    what: "messages of 1 KB that inflate to more than an app takes",
    options: { perMessageDeflate: { threshold: 1024 } },
    named: /sessions_closed.*(transport_error|too_large)/,
    run: (port, until) =>
      floods(port, 20, until, [compressedFrame(`4${"b".repeat(5_000_000)}`)], {
        headers: { "sec-websocket-extensions": "permessage-deflate; client_no_context_takeover" },
      }),
  },
  "echo-flood": {
    what: "20 clients of the other app send events as fast as the node takes them",
    args: () => ["--session-messages-per-second", "200", "--session-flood-wait", "2s"],
    named: /sessions_(slowed|closed.*flooded)/,
    run: (port, until) => {
      const event = textFrame('42["nothing",1]');
      return floods(port, 20, until, [many(event)], { begin: textFrame("40") });
    },
  },
  "acks-asked": {
    what: "20 clients of the other app want an answer to everything, and read none",
    args: () => ["--session-messages-per-second", "200", "--session-flood-wait", "2s"],
    named: /sessions_(slowed|closed)/,
    run: (port, until) =>
      floods(port, 20, until, [many(textFrame(`421["echo","${"x".repeat(500)}"]`))], { begin: textFrame("40") }),
  },
};
