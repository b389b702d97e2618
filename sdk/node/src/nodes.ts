/**
 * The nodes of an app server, and its trunk to each of them. The app names some addresses; nodes of a cluster name the
 * others (`Nodes`, `spec/trunk.md`, section 14), so the set grows and shrinks. There is never more than one trunk to a
 * node: it refuses a second one.
 */
import createDebug from "debug";
import { nodeUrl } from "./options.js";
import { NodeState, type ListedNode } from "./trunk/frames.js";
import type { Trunk } from "./trunk/trunk.js";

const debug = createDebug("trunkline:nodes");

/** The most nodes that are learned from others. */
export const LEARNED_MAX = 256;
const ID_UNITS_MAX = 128;
/** A learned node that no node lists any more is forgotten after this time. */
const FORGET_MS = 60_000;
/** A spare trunk looks for other nodes at its address after this time. */
const SPARE_MS = 30_000;
/** How often the nodes are told of the load, and what has lasted long is looked at. */
const TICK_MS = 1_000;
/** A node's address that others have, too, is reported after this time: a restarted node has it twice for a moment. */
const CLASH_MS = 15_000;
/** Changes within this time are looked at together: all nodes list a new one at once. */
const SETTLE_MS = 20;
/** A difference of the event loop's delay below this is not told. */
const LAG_STEP_MS = 10;

/** What the set of nodes needs of its owner. */
export interface NodesHost {
  newTrunk(url: URL): Trunk;
  onWarning(message: string): void;
  /** The number of this app server's sessions, over all nodes. */
  sessions(): number;
}

/** One trunk and what is known of its node. */
interface Place {
  readonly trunk: Trunk;
  readonly url: URL;
  /** The id of the node that others have listed with this address; undefined for an address of the app. */
  learned: string | undefined;
  /** The node on which the trunk is, or was last. */
  node: string | undefined;
  /** The nodes that this one lists; while the trunk is down, those that it listed last, until a time. */
  list: readonly Listed[];
  listEndsAt: number | undefined;
  /** The node's own address, while it is another one than that of the trunk. */
  ownUrl: URL | undefined;
  /** Whether the next attempt to continue the trunk is made at the node's own address. */
  triesOwnUrl: boolean;
  /** Failures are not reported before this time: the node has said that it leaves. */
  quietUntil: number;
  /** Since when no node lists it. */
  missingSince: number | undefined;
  everUp: boolean;
  /** The load that the node was told last. */
  told: string;
}

interface Listed {
  readonly id: string;
  /** Undefined when the node has no address of its own. */
  readonly url: URL | undefined;
  readonly state: number;
}

/** The set of nodes. */
export class Nodes {
  /** All trunks. The list is replaced, never changed. */
  trunks: readonly Trunk[] = [];
  private readonly host: NodesHost;
  private readonly endpoints: readonly URL[];
  private places = new Map<Trunk, Place>();
  private lastOpening = 0;
  private timer: NodeJS.Timeout | undefined;
  private tickedAt = 0;
  private settling: NodeJS.Timeout | undefined;
  /** What is known of each node; undefined when something has changed since. */
  private merged: ReadonlyMap<string, Listed> | undefined;
  /** Whether no more trunks are opened. */
  private isClosed = false;
  private readonly said = new Set<string>();
  /** The ids of nodes to which a trunk has been up. */
  private readonly met = new Set<string>();
  /** The addresses that several nodes have, and since when. */
  private readonly clashes = new Map<string, number>();

  constructor(endpoints: readonly URL[], host: NodesHost) {
    this.endpoints = endpoints;
    this.host = host;
  }

  /** Makes a trunk to each address of the app. They connect with {@link Nodes.connect}. */
  begin(): void {
    this.isClosed = false;
    this.merged = undefined;
    this.places = new Map();
    for (const url of this.endpoints) this.add(url, undefined);
  }

  connect(): void {
    for (const trunk of this.trunks) trunk.connect();
  }

  /** The trunks that have a node, or look for one. */
  get count(): number {
    return this.trunks.filter(({ isSpare }) => !isSpare).length;
  }

  get countUp(): number {
    return this.trunks.filter(({ isUp }) => isUp).length;
  }

  /** No more trunks are opened, and no node is forgotten: the app server leaves. */
  stop(): void {
    this.isClosed = true;
    clearTimeout(this.settling);
    clearInterval(this.timer);
    this.settling = undefined;
    this.timer = undefined;
  }

  /** A number for a stream that is about to say `Hello`, and those of the other trunks. */
  opening(trunk: Trunk): { opening: number; beside: number[] } {
    const others = this.trunks.filter((other) => other !== trunk);
    return { opening: ++this.lastOpening, beside: others.flatMap(({ openings }) => openings) };
  }

  /** The address at which to try to continue a trunk: a balanced one would lead to any node. */
  wayBack(trunk: Trunk): URL {
    const place = this.placeOf(trunk);
    if (place.ownUrl === undefined) return place.url;
    place.triesOwnUrl = !place.triesOwnUrl;
    return place.triesOwnUrl ? place.ownUrl : place.url;
  }

  spareDelayMs(): number | undefined {
    return this.isMissingOne() ? undefined : SPARE_MS * (0.75 + Math.random() / 2);
  }

  handleUp(trunk: Trunk): void {
    const place = this.placeOf(trunk);
    place.node = trunk.node;
    if (trunk.node !== undefined && this.met.size < LEARNED_MAX) this.met.add(trunk.node);
    place.list = [];
    place.listEndsAt = undefined;
    place.ownUrl = undefined;
    place.triesOwnUrl = false;
    place.quietUntil = 0;
    place.everUp = true;
    place.told = "";
    if (place.learned !== undefined) place.learned = trunk.node;
    this.settle();
  }

  /** Handles the end of a trunk. Returns whether it was expected: its node leaves. */
  handleDown(trunk: Trunk, wasDraining: boolean): boolean {
    const place = this.placeOf(trunk);
    const now = performance.now();
    const state = this.known().get(place.node ?? "")?.state;
    const isQuiet = state !== undefined && (wasDraining || state !== NodeState.up);
    if (isQuiet) place.quietUntil = now + FORGET_MS;
    place.listEndsAt = now + FORGET_MS;
    this.settle();
    const isNeeded = this.countUp === 0;
    for (const other of this.trunks) if (other !== trunk) other.hurry(isNeeded);
    return isQuiet;
  }

  /** Whether a failed attempt is worth a report; if so, what there is to add. */
  reportOf(trunk: Trunk): { readonly hint: string } | undefined {
    const { learned, everUp, quietUntil } = this.placeOf(trunk);
    if (performance.now() < quietUntil) return undefined;
    if (learned === undefined || everUp) return { hint: "" };
    // Reported when the trunk broke that it had at another address.
    if (this.met.has(learned)) return undefined;
    return { hint: ` (other nodes name this address for node ${learned}: is it one that app servers reach?)` };
  }

  handleNodes(trunk: Trunk, nodes: readonly ListedNode[]): void {
    const place = this.placeOf(trunk);
    place.list = this.read(trunk, nodes);
    debug("%s lists %d nodes", trunk.endpoint, place.list.length);
    this.startTicking();
    this.settle();
  }

  /** Looks at all trunks soon, because something has changed. */
  private settle(): void {
    this.merged = undefined;
    if (this.isClosed) return;
    this.settling ??= setTimeout(() => {
      this.settling = undefined;
      this.reconcile();
    }, SETTLE_MS);
  }

  /** Reads what a node lists, and leaves out what cannot be meant. */
  private read(trunk: Trunk, nodes: readonly ListedNode[]): Listed[] {
    const list = new Map<string, Listed>();
    for (const { id, url, state } of nodes) {
      if (id === "" || id.length > ID_UNITS_MAX || list.has(id)) {
        this.sayOnce(
          `id ${trunk.endpoint}`,
          `${trunk.endpoint}: the list of nodes has an id twice, or one that is none`,
        );
        continue;
      }
      if (list.size >= LEARNED_MAX) {
        const rest = nodes.length - LEARNED_MAX;
        this.sayOnce(
          "many",
          `${trunk.endpoint}: the list of nodes is too long: ${rest} of ${nodes.length} are left out`,
        );
        break;
      }
      const parsed = url === "" ? undefined : nodeUrl(url);
      if (url !== "" && parsed === undefined)
        this.sayOnce(`url ${id}`, `node ${id} names an address that is none: ${JSON.stringify(url.slice(0, 200))}`);
      list.set(id, { id, url: parsed, state });
    }
    return [...list.values()];
  }

  /** What is known of each node, from all lists. What a node says of itself counts first, then who takes it for up. */
  private known(): ReadonlyMap<string, Listed> {
    if (this.merged !== undefined) return this.merged;
    const known = new Map<string, Listed>();
    this.merged = known;
    for (const { trunk, node: own, list } of this.places.values()) {
      for (const node of list) {
        // A node that is not there says nothing of itself.
        if (node.id === own && !trunk.isUp) continue;
        const before = known.get(node.id);
        if (before === undefined || node.state < before.state) known.set(node.id, node);
      }
    }
    for (const { trunk, list } of this.places.values()) {
      const own = trunk.isUp ? list.find(({ id }) => id === trunk.node) : undefined;
      if (own !== undefined) known.set(own.id, own);
    }
    return known;
  }

  /** Opens and closes trunks so that there is one to each node that is known. */
  private reconcile(): void {
    const known = this.known();
    const reached = new Set<string>();
    for (const place of this.places.values()) {
      const { trunk } = place;
      if (!trunk.isUp || trunk.node === undefined) continue;
      reached.add(trunk.node);
      const url = known.get(trunk.node)?.url;
      place.ownUrl = url?.href === place.url.href ? undefined : url;
    }
    this.drop(known, reached);
    const addresses = new Set([...this.places.values()].map(({ url }) => url.href));
    let learned = [...this.places.values()].filter((place) => place.learned !== undefined).length;
    for (const { id, url, state } of known.values()) {
      if (state !== NodeState.up || url === undefined || reached.has(id) || addresses.has(url.href)) continue;
      if (learned >= LEARNED_MAX) break;
      learned++;
      addresses.add(url.href);
      debug("node %s is at %s", id, url.host);
      this.add(url, id).trunk.connect();
    }
  }

  /** Closes trunks to learned nodes that are not there any more, or are reached at another address. */
  private drop(known: ReadonlyMap<string, Listed>, reached: ReadonlySet<string>): void {
    const now = performance.now();
    for (const place of [...this.places.values()]) {
      const { trunk, learned, url } = place;
      if (learned === undefined || trunk.isUp) {
        place.missingSince = undefined;
        continue;
      }
      const listed = known.get(learned);
      if (listed !== undefined) {
        place.missingSince = undefined;
        const isElsewhere = listed.url !== undefined && listed.url.href !== url.href;
        if (listed.state !== NodeState.left && !isElsewhere && !reached.has(learned)) continue;
      } else {
        place.missingSince ??= now;
        if (now - place.missingSince < FORGET_MS) continue;
      }
      this.remove(place);
    }
  }

  private add(url: URL, learned: string | undefined): Place {
    const place: Place = {
      trunk: this.host.newTrunk(url),
      url,
      learned,
      node: undefined,
      list: [],
      listEndsAt: undefined,
      ownUrl: undefined,
      triesOwnUrl: false,
      quietUntil: 0,
      missingSince: undefined,
      everUp: false,
      told: "",
    };
    this.places.set(place.trunk, place);
    this.trunks = [...this.places.keys()];
    return place;
  }

  private remove(place: Place): void {
    debug("node %s at %s is forgotten", place.learned, place.url.host);
    this.places.delete(place.trunk);
    this.trunks = [...this.places.keys()];
    void place.trunk.close();
  }

  private placeOf(trunk: Trunk): Place {
    // A trunk that was removed has no events.
    return this.places.get(trunk) as Place;
  }

  /** Whether there is a node that can be reached only at an address that leads to several. */
  private isMissingOne(): boolean {
    const reached = new Set(this.trunks.map(({ node }) => node));
    for (const { id, url, state } of this.known().values())
      if (state === NodeState.up && url === undefined && !reached.has(id)) return true;
    return false;
  }

  private startTicking(): void {
    if (this.timer !== undefined || this.isClosed) return;
    this.tickedAt = performance.now();
    this.timer = setInterval(() => this.tick(), TICK_MS);
    this.timer.unref();
  }

  private tick(): void {
    const now = performance.now();
    const lagMs = Math.max(0, now - this.tickedAt - TICK_MS);
    this.tickedAt = now;
    this.tellLoad(Math.floor(lagMs / LAG_STEP_MS) * LAG_STEP_MS);
    for (const place of this.places.values()) {
      if (place.listEndsAt === undefined || now < place.listEndsAt) continue;
      place.listEndsAt = undefined;
      place.list = [];
      this.merged = undefined;
    }
    this.reportClashes(now);
    this.reconcile();
  }

  private tellLoad(lagMs: number): void {
    const sessions = this.host.sessions();
    const load = `${sessions} ${lagMs}`;
    for (const place of this.places.values()) {
      if (place.told !== load && place.list.length > 0 && place.trunk.load(sessions, lagMs)) place.told = load;
    }
  }

  /** Reports nodes that have one address together: only one of them can be reached there at a time. */
  private reportClashes(now: number): void {
    const owners = new Map<string, string[]>();
    for (const { id, url, state } of this.known().values()) {
      if (state !== NodeState.up || url === undefined) continue;
      owners.set(url.href, [...(owners.get(url.href) ?? []), id]);
    }
    for (const [href, ids] of owners) {
      if (ids.length < 2) {
        this.clashes.delete(href);
        continue;
      }
      const since = this.clashes.get(href) ?? now;
      this.clashes.set(href, since);
      if (now - since >= CLASH_MS)
        this.sayOnce(
          `clash ${href}`,
          `nodes ${ids.join(", ")} name the same address, ${new URL(href).host}: each needs its own`,
        );
    }
    for (const href of this.clashes.keys()) if (!owners.has(href)) this.clashes.delete(href);
  }

  private sayOnce(key: string, message: string): void {
    if (this.said.has(key) || this.said.size >= LEARNED_MAX) return;
    this.said.add(key);
    this.host.onWarning(message);
  }
}
