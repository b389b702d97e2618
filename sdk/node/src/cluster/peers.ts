/** The other app servers of the hub, and the trunk over which each is reached (`spec/trunk.md`, section 8). */

/** A trunk, as far as relays use it. */
export interface Link {
  /** The longest payload that `relay` takes. */
  readonly relayBytesMax: number;
  relay(to: string[], payload: Uint8Array): boolean;
}

/** The peers that appeared and disappeared with an update. */
export interface PeerChange {
  readonly joined: string[];
  readonly left: string[];
}

/** The other app servers of the hub that nodes list. */
export class Peers {
  private readonly self: string;
  /** The servers that each trunk lists, in the order in which the trunks first listed one. */
  private readonly listed = new Map<Link, Set<string>>();
  /**
   * Each peer has one trunk: with two, its messages could overtake one another. It keeps the trunk while that one lists
   * it.
   */
  private readonly links = new Map<string, Link>();

  /** @param self our own id */
  constructor(self: string) {
    this.self = self;
  }

  get size(): number {
    return this.links.size;
  }

  ids(): string[] {
    return [...this.links.keys()];
  }

  has(peer: string): boolean {
    return this.links.has(peer);
  }

  /** Sets the servers that a trunk lists now. */
  update(link: Link, servers: Iterable<string>): PeerChange {
    const now = new Set(servers);
    now.delete(this.self);
    if (now.size > 0) this.listed.set(link, now);
    else this.listed.delete(link);
    const left: string[] = [];
    for (const [peer, used] of [...this.links]) {
      if (used !== link || now.has(peer)) continue;
      const other = this.linkThatLists(peer);
      if (other !== undefined) this.links.set(peer, other);
      else {
        this.links.delete(peer);
        left.push(peer);
      }
    }
    const joined: string[] = [];
    for (const peer of now) {
      if (this.links.has(peer)) continue;
      this.links.set(peer, link);
      joined.push(peer);
    }
    return { joined, left };
  }

  /** The trunks to use for these peers, each with its peers. Peers that have left are omitted. */
  routes(peers: Iterable<string>): Map<Link, string[]> {
    const routes = new Map<Link, string[]>();
    for (const peer of peers) {
      const link = this.links.get(peer);
      if (link === undefined) continue;
      const to = routes.get(link);
      if (to === undefined) routes.set(link, [peer]);
      else to.push(peer);
    }
    return routes;
  }

  private linkThatLists(peer: string): Link | undefined {
    for (const [link, peers] of this.listed) if (peers.has(peer)) return link;
    return undefined;
  }
}
