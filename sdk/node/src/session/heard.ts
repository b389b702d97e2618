/**
 * Events with rare listeners, as bits of `Conn.heard`. Each message would otherwise look them up in the table of
 * listeners, which is a different object for each client and rarely in the CPU's cache.
 */
export const Heard = { packet: 1, message: 2, packetCreate: 4, flush: 8 } as const;

/** The bit of an event; 0 for events without one. */
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
