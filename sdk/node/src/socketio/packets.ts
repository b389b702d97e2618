/** Socket.IO packets out of their Engine.IO messages, by the app's own parser. */
import type { EncodedPart, Packet, Parser } from "./types.js";

/**
 * Decodes one packet.
 * @throws whatever the parser throws, and an Error when the messages are not exactly one packet
 */
export function decodePacket(parser: Parser, parts: Iterable<EncodedPart>): Packet {
  const decoder = new parser.Decoder();
  const packets: Packet[] = [];
  decoder.on("decoded", (packet: Packet) => packets.push(packet));
  try {
    for (const part of parts) decoder.add(part);
  } finally {
    decoder.destroy?.();
  }
  const [packet] = packets;
  if (packet === undefined) throw new Error("the packet is not complete");
  return packet;
}
