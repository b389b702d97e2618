/** Broadcasts made while a trunk is down, kept for the clients of other app servers. */
import { textOf } from "../data/keys.js";
import type { Broadcast } from "./outbound_types.js";

/** What waits may have this many bytes. */
const WAITING_BYTES_MAX = 1024 * 1024;

/** A room that no socket is in. */
const NOBODY = textOf({});

/** A broadcast and its number among all broadcasts of this app server. */
export interface WaitingBroadcast {
  readonly broadcast: Broadcast;
  readonly count: number;
}

/** The broadcasts that wait for one trunk. */
export class Waiting {
  private list: WaitingBroadcast[] = [];
  private size = 0;

  get bytes(): number {
    return this.size;
  }

  /** Keeps a broadcast. Returns false when there is no room: then it is lost. */
  add(broadcast: Broadcast, count: number): boolean {
    let bytes = 64;
    for (const part of broadcast.parts) bytes += part.length;
    if (this.size + bytes > WAITING_BYTES_MAX) return false;
    this.size += bytes;
    this.list.push({ broadcast, count });
    return true;
  }

  /**
   * Removes and returns all of them, oldest first, for a new trunk. Our sockets have ended with the former one, and
   * other app servers may have adopted them: what was for one of them goes to nobody. Its number is not left out,
   * because a gap in the numbers would tell that something was lost for others, too.
   */
  takeForNextTrunk(): WaitingBroadcast[] {
    return this.takeAll().map(({ broadcast, count }) => ({
      broadcast: broadcast.isOwn === true ? { ...broadcast, rooms: [NOBODY] } : broadcast,
      count,
    }));
  }

  /** Removes and returns all of them, oldest first. */
  takeAll(): WaitingBroadcast[] {
    const taken = this.list;
    this.list = [];
    this.size = 0;
    return taken;
  }
}
