/**
 * One trunk to one node: its stream, its state machine, and the attempts to open both (`spec/trunk.md`, sections 1 and
 * 10).
 */
import createDebug from "debug";
import type { TrunklineError } from "./errors.js";
import { INTERNAL } from "../data/alive.js";
import { Backoff } from "./backoff.js";
import { Failures, parseRefusal } from "./failures.js";
import { BroadcastFlag, ErrorCode, type FrameBodies } from "./frames.js";
import { Machine, type EndCause, type MachineHost } from "./machine.js";
import type { Welcomed } from "./opening.js";
import type { Broadcast, Counters } from "./outbound_types.js";
import { Stream, type StreamConfig } from "./stream.js";
import { Waiting } from "./waiting.js";

const debug = createDebug("trunkline:trunk");

/** When a trunk that lived this long breaks, its back-off starts again from the beginning. */
const STEADY_MS = 5_000;
/** How long `close()` waits for the node's credit before it gives up the held data. */
const LAST_WORDS_MS_MAX = 2_000;
/** The configuration of a trunk. */
export interface TrunkConfig extends StreamConfig {
  /** Whether the app server must be asked about each request of its sessions. */
  readonly everyRequest: boolean;
}

/** What a trunk needs from its owner. */
export interface TrunkHost {
  /** The JSON of `Hello.settings`, requested when a trunk opens. */
  settings(): string;
  /** The number of our next broadcast; undefined when broadcasts are not numbered: then no client is recovered. */
  nextBroadcast(): number | undefined;
  onUp(trunk: Trunk, info: NodeInfo): void;
  /** Called when the trunk broke; a new attempt follows. */
  onDown(trunk: Trunk, error: TrunklineError): void;
  /** Called when an attempt failed; another follows. */
  onRetry(trunk: Trunk, error: TrunklineError): void;
  /**
   * Called when the node says that a retry cannot help ({@link Trunk.isRefused} is true already). Returns whether to
   * believe it and stop.
   */
  givesUp(trunk: Trunk): boolean;
  /** Called when the trunk is given up. */
  onFinal(trunk: Trunk, error: TrunklineError): void;
  onWarning(trunk: Trunk, message: string): void;
  /** Called once in each ping interval. */
  onTick(): void;
  onOpen(machine: Machine, open: FrameBodies["Open"]): void;
  onAdopt(machine: Machine, adopt: FrameBodies["Adopt"]): void;
  onRequest(machine: Machine, request: FrameBodies["Request"]): void;
  /** Called with the other app servers that this trunk reaches now: none when the trunk is down. */
  onPeers(trunk: Trunk, servers: string[]): void;
  onRelayed(from: string, payload: Buffer): void;
}

/** The properties of a node that is up. */
export interface NodeInfo {
  readonly node: string;
  readonly version: string;
  /** Whether the node can ask about each request of a session. */
  readonly everyRequest: boolean;
}

/** The counters that all trunks of an app server share. */
export interface TrunkCounters extends Counters {
  reconnects: number;
  broadcastsDropped: number;
  unsent: number;
}

/** One trunk to one node. */
export class Trunk {
  /** The node's address, as the app wrote it, without the path. */
  readonly endpoint: string;
  private readonly config: TrunkConfig;
  private readonly host: TrunkHost;
  private readonly counters: TrunkCounters;
  private readonly backoff = new Backoff();
  private readonly failures: Failures;
  private stream: Stream | undefined;
  private machine: Machine | undefined;
  private timer: NodeJS.Timeout | undefined;
  private ticker: NodeJS.Timeout | undefined;
  private openedAt = 0;
  private everUp = false;
  private isRefusedNow = false;
  private closed: { promise: Promise<void>; resolve: () => void } | undefined;
  private final = false;
  private flushed: (() => void)[] = [];
  /** Settings that changed between `Hello` and `Welcome`. */
  private lateSettings: string | undefined;
  private readonly waiting = new Waiting();
  /** Whether the node takes numbers of broadcasts; while the trunk is down, whether it did when last up. */
  private takesNumbers = false;
  private readonly saidUnsent = new Set<string>();
  /** Marks an object that is never copied, because it contains the hub's key. */
  readonly [INTERNAL] = true;

  constructor(config: TrunkConfig, host: TrunkHost, counters: TrunkCounters) {
    this.config = config;
    this.host = host;
    this.counters = counters;
    this.endpoint = config.url.host;
    this.failures = new Failures(this.endpoint);
  }

  get isUp(): boolean {
    return this.machine?.isOpen ?? false;
  }

  get isFinal(): boolean {
    return this.final;
  }

  /** Whether the node last said that a retry cannot help: a wrong key, an unknown hub, no common version. */
  get isRefused(): boolean {
    return this.isRefusedNow;
  }

  get heldBytes(): number {
    return (this.machine?.outbound.heldBytes ?? 0) + this.waiting.bytes;
  }

  /** The longest payload that {@link Trunk.relay} takes. */
  get relayBytesMax(): number {
    return this.machine?.outbound.relayBytesMax ?? 0;
  }

  connect(): void {
    debug("connecting to %s, hub %s", this.endpoint, this.config.hub);
    this.stream = new Stream(this.config, {
      settings: () => {
        this.lateSettings = undefined;
        return this.host.settings();
      },
      onWelcome: (welcomed) => this.welcomed(welcomed),
      onBatch: (batch) => this.machine?.handleBatch(batch),
      onUnwelcome: (cause) => this.ended(cause),
      onRefused: (status, body) => this.refused(status, body),
      onSilence: (forMs) => this.lost(this.failures.silent(forMs)),
      onClose: (code, reason, error) => this.lost(this.failures.closed(this.isUp, code, reason, error)),
    });
  }

  /** Asks the node for no more sessions. */
  drain(): void {
    if (this.machine?.isOpen) this.machine.drain(0);
  }

  /** Sends changed options, if `Hello` was sent already. */
  changeSettings(settings: string): void {
    if (this.machine?.isOpen) this.machine.changeSettings(settings);
    else this.lateSettings = settings;
  }

  /** Closes the trunk after earlier data has been sent. */
  close(): Promise<void> {
    if (this.closed !== undefined) return this.closed.promise;
    let resolve!: () => void;
    const promise = new Promise<void>((done) => (resolve = done));
    this.closed = { promise, resolve };
    this.waiting.takeAll();
    clearTimeout(this.timer);
    if (this.machine?.isOpen) this.sayGoodbye(this.machine);
    else this.finish();
    return promise;
  }

  /** Whether the node takes numbers of broadcasts. */
  get numbers(): boolean {
    return this.takesNumbers;
  }

  /**
   * Sends a broadcast. Returns false when the packet is too long for the node.
   * @param count its number among all broadcasts of this app server
   */
  broadcast(broadcast: Broadcast, count: number): boolean {
    if (this.machine?.isOpen) return this.machine.outbound.broadcast(broadcast, count);
    // Our own sockets ended with the trunk, so a local broadcast has no receivers.
    if ((broadcast.flags & BroadcastFlag.local) === 0) this.wait(broadcast, count);
    return true;
  }

  /** Sends a relay. Returns false when the payload is too long for the node. */
  relay(to: string[], payload: Uint8Array): boolean {
    return this.machine?.isOpen ? this.machine.outbound.relay(to, payload) : true;
  }

  /** Notes that the app no longer has this namespace. */
  release(nsp: string): void {
    this.machine?.outbound.release(nsp);
  }

  /** Restores a socket. Calls back once: with undefined when the trunk is down, or breaks before the answer. */
  restore(
    nsp: string,
    pid: string,
    offset: string,
    done: (restored: FrameBodies["RestoredAt"] | undefined) => void,
  ): void {
    if (this.machine?.isOpen) this.machine.restore(nsp, pid, offset, done);
    else done(undefined);
  }

  giveBack(nsp: string, pid: string): void {
    if (this.machine?.isOpen) this.machine.giveBack(nsp, pid);
  }

  /** Sends the changes that `action` makes to many sockets in one piece, before this returns. */
  together(action: () => void): void {
    const outbound = this.machine?.outbound;
    outbound?.beginTogether();
    try {
      action();
    } finally {
      outbound?.endTogether();
    }
  }

  private onFlushed(callback: () => void): void {
    this.flushed.push(callback);
  }

  private machineHost(): MachineHost {
    return {
      schedule: () => setImmediate(() => this.flush()),
      transmit: (batch) => this.stream?.send(batch, () => this.machine?.outbound.recycle(batch)),
      onHang: (heldBytes, forMs) => this.hangs(heldBytes, forMs),
      onUnsent: (kind, sentence) => this.reportUnsent(kind, sentence),
      onOpen: (open) => this.host.onOpen(this.machine as Machine, open),
      onAdopt: (adopt) => this.host.onAdopt(this.machine as Machine, adopt),
      onRequest: (request) => this.host.onRequest(this.machine as Machine, request),
      onPeers: (servers) => this.host.onPeers(this, servers),
      onRelayed: (from, payload) => this.host.onRelayed(from, payload),
      onDrain: (deadlineMs) => debug("%s is draining, it closes in %d ms", this.endpoint, deadlineMs),
      onEnd: (cause) => this.ended(cause),
      onThrown: rethrowLater,
      onFlushed: (callback) => this.onFlushed(callback),
    };
  }

  /**
   * Handles a node that takes nothing while the app keeps sending. Dropping some data silently would leave gaps, so
   * the trunk and its sessions end.
   */
  private hangs(heldBytes: number, forMs: number): void {
    const { machine } = this;
    const seconds = Math.round(forMs / 1000);
    machine?.fail(ErrorCode.silence, `the node has taken nothing for ${seconds} s, and ${heldBytes} bytes wait for it`);
  }

  private flush(): void {
    this.machine?.outbound.flush();
    if (this.flushed.length === 0 || (this.machine?.outbound.heldBytes ?? 0) > 0) return;
    const callbacks = this.flushed;
    this.flushed = [];
    for (const callback of callbacks) callback();
  }

  /** Reports each kind once: a cause that one client has may occur a thousand times. */
  private reportUnsent(kind: string, sentence: string): void {
    this.counters.unsent++;
    if (this.saidUnsent.has(kind)) return;
    this.saidUnsent.add(kind);
    this.host.onWarning(this, sentence);
  }

  private welcomed({ welcome, info, rest }: Welcomed): void {
    const machine = new Machine(this.machineHost(), this.counters);
    this.machine = machine;
    machine.start(welcome, info);
    this.openedAt = Date.now();
    this.isRefusedNow = false;
    if (this.everUp) this.counters.reconnects++;
    this.everUp = true;
    this.ticker = setInterval(
      () => {
        this.machine?.handleTick();
        this.host.onTick();
      },
      Math.max(welcome.pingIntervalMs, 100),
    );
    machine.asksEachRequest = this.config.everyRequest && info.everyRequest;
    debug("up: node %s of version %s at %s", info.node, info.version, this.endpoint);
    for (const warning of info.warnings) this.host.onWarning(this, warning);
    if (this.lateSettings !== undefined) machine.changeSettings(this.lateSettings);
    const waiting = this.waiting.takeAll();
    this.takesNumbers = info.frames.has("Number");
    // At once, even if there is nothing to broadcast yet: a node that does not know us cannot prove what a client of
    // ours has received.
    const next = this.host.nextBroadcast();
    if (this.takesNumbers && next !== undefined) machine.outbound.numberFrom(waiting[0]?.count ?? next);
    for (const { broadcast, count } of waiting) machine.outbound.broadcast(broadcast, count);
    this.host.onUp(this, info);
    machine.handleBatch(rest);
  }

  private ended(cause: EndCause): void {
    const final = this.finally(cause.code === ErrorCode.version || cause.code === ErrorCode.settings);
    this.stream?.leave(1008);
    this.lost(this.failures.ended(cause, final));
  }

  private refused(status: number, body: string): void {
    const refusal = parseRefusal(body);
    this.lost(this.failures.refused(status, refusal, this.finally(refusal.isForGood)));
  }

  /** Whether this end is final: the node says that a retry cannot help, and the host agrees. */
  private finally(isRefused: boolean): boolean {
    this.isRefusedNow = isRefused;
    return isRefused && this.closed === undefined && this.host.givesUp(this);
  }

  /** Ends the attempts, because the host has given up every trunk. */
  giveUp(): void {
    const stream = this.stream;
    this.stream = undefined;
    this.machine = undefined;
    clearTimeout(this.timer);
    stream?.drop();
    this.endAttempts();
  }

  private endAttempts(): void {
    this.final = true;
    this.waiting.takeAll();
  }

  /**
   * Handles the loss of the stream: everything that depends on it ends, and another attempt follows unless it would be
   * useless.
   */
  private lost(error: TrunklineError): void {
    const wasUp = this.isUp || this.openedAt !== 0;
    const machine = this.machine;
    const stream = this.stream;
    this.machine = undefined;
    this.stream = undefined;
    clearTimeout(this.timer);
    clearInterval(this.ticker);
    stream?.leave(1000);
    this.counters.broadcastsDropped += machine?.outbound.heldBroadcasts ?? 0;
    machine?.handleLost();
    if (wasUp) this.host.onPeers(this, []);
    const callbacks = this.flushed;
    this.flushed = [];
    for (const callback of callbacks) callback();
    if (this.closed !== undefined) return this.closed.resolve();
    debug("%s", error.message);
    if (error.final) {
      this.endAttempts();
      return this.host.onFinal(this, error);
    }
    if (wasUp && Date.now() - this.openedAt >= STEADY_MS) this.backoff.reset();
    this.openedAt = 0;
    const delayMs = this.backoff.next();
    debug("trying %s again in %d ms", this.endpoint, Math.round(delayMs));
    this.timer = setTimeout(() => this.connect(), delayMs);
    if (wasUp) this.host.onDown(this, error);
    else this.host.onRetry(this, error);
  }

  private sayGoodbye(machine: Machine): void {
    const finish = (): void => {
      clearTimeout(this.timer);
      machine.outbound.flush();
      clearInterval(this.ticker);
      this.stream?.close(1000);
    };
    this.timer = setTimeout(finish, LAST_WORDS_MS_MAX);
    this.onFlushed(finish);
    setImmediate(() => this.flush());
  }

  /** Closes a trunk that never came up. */
  private finish(): void {
    const stream = this.stream;
    this.stream = undefined;
    this.machine?.handleLost();
    this.machine = undefined;
    stream?.drop();
    this.closed?.resolve();
  }

  private wait(broadcast: Broadcast, count: number): void {
    if (this.final || this.closed !== undefined) return;
    if (!this.waiting.add(broadcast, count)) this.counters.broadcastsDropped++;
  }
}

function rethrowLater(error: unknown): void {
  process.nextTick(() => {
    throw error;
  });
}
