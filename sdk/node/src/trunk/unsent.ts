/** What was not sent because the node would not take it: counted, and reported once for each kind. */
import type { TrunkCounters } from "./outbound_types.js";

/** The unsent data of one trunk. */
export class Unsent {
  private readonly counters: TrunkCounters;
  private readonly say: (sentence: string) => void;
  private readonly said = new Set<string>();

  constructor(counters: TrunkCounters, say: (sentence: string) => void) {
    this.counters = counters;
    this.say = say;
  }

  /** Reports each kind once: a cause that one client has may occur a thousand times. */
  note(kind: string, sentence: string): void {
    this.counters.unsent++;
    if (this.said.has(kind)) return;
    this.said.add(kind);
    this.say(sentence);
  }
}
