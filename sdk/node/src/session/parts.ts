/** Engine.IO messages, as apps write them and as they are sent. */
import type { PartData } from "../trunk/outbound_types.js";

/** The options of a packet, as engine.io's `send` takes them. */
export interface SendOptions {
  compress?: boolean;
  volatile?: boolean;
}

/** The packet that listeners see. */
export function packetOf(data: unknown, options: SendOptions): object {
  return data ? { type: "message", options, data } : { type: "message", options };
}

/**
 * Converts data as engine.io's own parser does: bytes stay bytes, everything else becomes text, and falsy values become
 * empty text.
 */
export function partOf(data: unknown): PartData {
  if (typeof data === "string") return data;
  if (data instanceof Uint8Array) return data;
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return data ? String(data) : "";
}
