// Batches of the trunk protocol (spec/trunk.md), encoded by the SDK's own codec, which `npm run build` in sdk/node
// makes.
import { decodeBatch } from "../sdk/node/dist/esm/trunk/decode.js";
import { encodeFrame } from "../sdk/node/dist/esm/trunk/encode.js";
import { CloseReason, SendFlag } from "../sdk/node/dist/esm/trunk/frames.js";
import { Reader } from "../sdk/node/dist/esm/trunk/reader.js";
import { Writer } from "../sdk/node/dist/esm/trunk/writer.js";

export { CloseReason, SendFlag };

/** Encodes these frames as one batch. */
export function encodeBatch(frames) {
  const writer = new Writer();
  for (const frame of frames) encodeFrame(writer, frame);
  return Buffer.from(writer.take());
}

/** The frames of a batch. */
export const framesOf = (batch) => decodeBatch(new Reader(batch));

/** `Send` of a text, or of bytes. */
export const send = (session, payload, flags = 0) => ({
  type: "Send",
  session,
  flags: flags | (typeof payload === "string" ? 0 : SendFlag.binary),
  payload: Buffer.from(payload),
});

/** The cost of a `Send` or a `Message` in credit: the flags byte, the session's number and the payload. */
export const costOf = ({ session, payload }) => payload.length + 1 + varintBytes(session);

function varintBytes(value) {
  return value < 0x80 ? 1 : 1 + varintBytes(Math.floor(value / 0x80));
}
