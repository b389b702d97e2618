/**
 * Events that hardly anybody listens for, as bits of `Conn.heard`. Each message would have to ask for them, and the
 * table of listeners is another object of another client each time: what asking costs is memory that is in no cache.
 */
export const Heard = { packet: 1, message: 2, packetCreate: 4, flush: 8 } as const;

/** The bit of an event; 0 for those that are not told apart. */
export function heardBit(event: string | symbol): number {
  switch (event) {
    case "packet":
      return Heard.packet;
    case "message":
      return Heard.message;
    case "packetCreate":
      return Heard.packetCreate;
    case "flush":
    case "drain":
      return Heard.flush;
    default:
      return 0;
  }
}
