/** The first batches on a stream, `Hello` and the node's answer to it (`spec/trunk.md`, section 3), without the stream. */
import { closeFrame, decodeBody, openFrame } from "./decode.js";
import { encodeFrame } from "./encode.js";
import { ErrorCode, type Frame, type FrameBodies } from "./frames.js";
import { parseInfo, type WelcomeInfo } from "./info.js";
import { WINDOW_BYTES } from "./machine.js";
import type { EndCause } from "./machine_types.js";
import { BATCH_BYTES_MIN } from "./outbound.js";
import { DecodeError, Reader } from "./reader.js";
import { Writer } from "./writer.js";

/** The node's `Welcome`. */
export interface Welcomed {
  readonly welcome: FrameBodies["Welcome"];
  readonly info: WelcomeInfo;
  /** The frames after it in the same batch. */
  readonly rest: Buffer;
}

/** The batch that opens a trunk. */
export function helloBatch(server: string, sdk: string, settings: string): Buffer {
  return batchOf({ type: "Hello", versionMin: 1, versionMax: 1, credit: WINDOW_BYTES, server, sdk, settings });
}

/** The batch that tells the node why its answer is not accepted. */
export function errorBatch(code: number, message: string): Buffer {
  return batchOf({ type: "Error", code, message });
}

/** Reads the node's answer: undefined when it is not in this batch, and the cause when there will be no trunk. */
export function readAnswer(batch: Buffer): Welcomed | EndCause | undefined {
  const reader = new Reader(batch);
  try {
    while (reader.pos < batch.length) {
      const type = openFrame(reader);
      const frame = decodeBody(type, reader);
      closeFrame(reader, type, batch.length);
      if (frame === undefined) continue;
      return frame.type === "Welcome" ? accepted(frame, batch.subarray(reader.pos)) : causeOf(frame);
    }
    return undefined;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return { code: ErrorCode.protocol, message: error.message, by: "us" };
  }
}

function accepted(welcome: FrameBodies["Welcome"], rest: Buffer): Welcomed | EndCause {
  const { version, batchBytesMax } = welcome;
  if (version !== 1)
    return { code: ErrorCode.version, message: `the node chose version ${version} of 1 to 1`, by: "us" };
  if (batchBytesMax < BATCH_BYTES_MIN) {
    const message = `batch_bytes_max ${batchBytesMax} is too small for any use`;
    return { code: ErrorCode.protocol, message, by: "us" };
  }
  return { welcome, info: parseInfo(welcome.info), rest };
}

function causeOf(frame: Frame): EndCause {
  if (frame.type === "Error") return { code: frame.code, message: frame.message, by: "node" };
  return { code: ErrorCode.protocol, message: `${frame.type} came before Welcome`, by: "us" };
}

function batchOf(frame: Frame): Buffer {
  const writer = new Writer();
  encodeFrame(writer, frame);
  return writer.take();
}
