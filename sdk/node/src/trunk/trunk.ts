/**
 * One trunk to one node: its stream, its state machine, and the attempts to open both (`spec/trunk.md`, sections 1 and
 * 10).
 */
import createDebug from "debug";
import { rethrowLater, type TrunklineError } from "./errors.js";
import { INTERNAL } from "../data/alive.js";
import { Backoff } from "./backoff.js";
import { Failures, parseRefusal } from "./failures.js";
import { BroadcastFlag, ErrorCode, type FrameBodies } from "./frames.js";
import type { Gap } from "./gap.js";
import { Life } from "./life.js";
import { Machine } from "./machine.js";
import type { EndCause, MachineHost } from "./machine_types.js";
import { errorBatch, type Welcomed } from "./opening.js";
import type { Operate } from "./operate.js";
import type { Broadcast, TrunkCounters } from "./outbound_types.js";
import { Stream } from "./stream.js";
import type { TrunkConfig, TrunkHost } from "./trunk_types.js";
import { Unsent } from "./unsent.js";
import { Waiting } from "./waiting.js";

const debug = createDebug("trunkline:trunk");

/** When a trunk that lived this long breaks, its back-off starts again from the beginning. */
const STEADY_MS = 5_000;
/** How long `close()` waits for the node's credit before it gives up the held data. */
const LAST_WORDS_MS_MAX = 2_000;
/** One trunk to one node. */
export class Trunk {
  /** The node's address, as the app wrote it, without the path. */
  readonly endpoint: string;
  private readonly config: TrunkConfig;
  private readonly host: TrunkHost<Trunk>;
  private readonly counters: TrunkCounters;
  private readonly backoff = new Backoff();
  private readonly failures: Failures;
  private stream: Stream | undefined;
  private life: Life | undefined;
  private timer: NodeJS.Timeout | undefined;
  private ticker: NodeJS.Timeout | undefined;
  private openedAt = 0;
  private everUp = false;
  private isRefusedNow = false;
  /**
   * Whether this trunk has found only nodes that our other trunks reach, so that there is nothing for it to do. It looks
   * again from time to time.
   */
  isSpare = false;
  /** The number of the present stream's `Hello`. */
  private opening = 0;
  private closed: { promise: Promise<void>; resolve: () => void } | undefined;
  private final = false;
  private flushed: (() => void)[] = [];
  /** The machine that has asked its node for no more sessions: once is enough. */
  private drained: Machine | undefined;
  /** Settings that changed between `Hello` and `Welcome`. */
  private lateSettings: string | undefined;
  private readonly waiting = new Waiting();
  /** Whether the node takes numbers of broadcasts; while the trunk is down, whether it did when last up. */
  private takesNumbers = false;
  private readonly unsent: Unsent;
  /** Marks an object that is never copied, because it contains the hub's key. */
  readonly [INTERNAL] = true;

  constructor(config: TrunkConfig, host: TrunkHost<Trunk>, counters: TrunkCounters) {
    this.config = config;
    this.host = host;
    this.counters = counters;
    this.endpoint = config.url.host;
    this.failures = new Failures(this.endpoint);
    this.unsent = new Unsent(counters, (sentence) => host.onWarning(this, sentence));
  }

  get machine(): Machine | undefined {
    return this.life?.machine;
  }

  /** Present while the trunk has no stream, and another one may continue it. */
  private get gap(): Gap | undefined {
    return this.life?.gap;
  }

  /** Whether the trunk is up, on a stream or between two. */
  get isUp(): boolean {
    return this.machine?.isOpen ?? false;
  }

  /** The id of the node while the trunk is up. */
  get node(): string | undefined {
    return this.life?.node;
  }

  /** Whether the node has said that it leaves. */
  get isDraining(): boolean {
    return this.life?.isDraining === true;
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
    const url = this.gap === undefined ? this.config.url : this.host.wayBack(this);
    debug("connecting to %s, hub %s", url.host, this.config.hub);
    let key: string;
    try {
      key = this.config.key();
    } catch (error) {
      return this.failed(this.failures.keyless(error));
    }
    this.stream = new Stream({ ...this.config, key }, url, {
      settings: (from) => this.helloSettings(from),
      onWelcome: (welcomed) => this.welcomed(welcomed),
      onBatch: (batch) => this.life?.handleBatch(batch),
      onSent: () => this.life?.handleSent(),
      onUnwelcome: (cause) => this.ended(cause),
      onRefused: (status, body) => this.refused(status, body),
      onSilence: (forMs) => this.failed(this.failures.silent(forMs)),
      onClose: (code, reason, error) => this.streamEnded(code, this.failures.closed(this.isUp, code, reason, error)),
    });
  }

  private helloSettings(from: string | undefined): string {
    this.lateSettings = undefined;
    const { opening, beside } = this.host.opening(this);
    this.opening = opening;
    const resume = this.life?.resumption;
    return JSON.stringify({ ...this.host.settings(), resumable: true, from, resume, opening, beside });
  }

  /** The numbers under which nodes may know this trunk now. */
  get openings(): number[] {
    const { life, stream, opening } = this;
    return [...(life === undefined ? [] : [life.opening]), ...(stream === undefined ? [] : [opening])];
  }

  /** Tries at once to reach a node that no other trunk of ours reaches. @param isNeeded whether no other trunk is up */
  hurry(isNeeded: boolean): void {
    if (!this.isSpare) return;
    if (isNeeded) this.isSpare = false;
    if (this.stream !== undefined || this.closed !== undefined) return;
    clearTimeout(this.timer);
    this.backoff.reset();
    this.connect();
  }

  /** Tells the node how much this app server has to do. Returns false when it was not told. */
  load(sessions: number, lagMs: number): boolean {
    const { machine } = this;
    if (this.gap !== undefined || !machine?.isOpen || !machine.outbound.takes("Load")) return false;
    return machine.outbound.frame({ type: "Load", sessions, lagMs });
  }

  /**
   * Resolves when everything has arrived that the node had sent before it read what was sent here. Undefined with a
   * node that gives no sessions of other app servers, or while the trunk is down.
   */
  fence(): Promise<void> | undefined {
    const { machine } = this;
    if (!machine?.isOpen || !machine.outbound.takes("State")) return undefined;
    return new Promise((resolve) => machine.fence(resolve));
  }

  /** Asks the node for no more sessions. */
  drain(): void {
    const { machine } = this;
    if (!machine?.isOpen || machine === this.drained) return;
    this.drained = machine;
    machine.drain(0);
  }

  /** Sends changed options, if `Hello` was sent already. */
  changeSettings(settings: string): void {
    if (this.machine?.isOpen) this.machine.changeSettings(settings);
    // In a gap this is for the trunk that follows if this one cannot be resumed.
    if (this.gap !== undefined || !this.isUp) this.lateSettings = settings;
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
    if (this.gap === undefined && this.machine?.isOpen) return this.machine.outbound.broadcast(broadcast, count);
    // If our own sockets have ended with the trunk, a local broadcast has no receivers.
    if ((broadcast.flags & BroadcastFlag.local) === 0) this.wait(broadcast, count);
    return this.machine?.outbound.broadcast(broadcast, count) ?? true;
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

  /** Sends an operation on sockets. Returns false when it is too long for the node. */
  operate(operate: Operate): boolean {
    return this.life?.operate(operate) ?? true;
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

  private machineHost(): MachineHost {
    return {
      schedule: () => setImmediate(() => this.flush()),
      transmit: (batch) => this.life?.transmit(batch),
      onHang: (heldBytes, forMs) => this.hangs(heldBytes, forMs),
      onUnsent: (kind, sentence) => this.unsent.note(kind, sentence),
      onOpen: (open) => this.host.onOpen(this.machine as Machine, open),
      onAdopt: (adopt) => this.host.onAdopt(this.machine as Machine, adopt),
      onRequest: (request) => this.host.onRequest(this.machine as Machine, request),
      onPeers: (servers) => this.host.onPeers(this, servers),
      onRelayed: (from, payload) => this.host.onRelayed(from, payload),
      onNodes: (nodes) => this.host.onNodes(this, nodes),
      onDrain: (deadlineMs) => {
        if (this.life !== undefined) this.life.isDraining = true;
        debug("%s is draining, it closes in %d ms", this.endpoint, deadlineMs);
      },
      onUnhomed: (frame) => this.life?.handleUnhomed(frame, this.host),
      onGot: (batches) => this.life?.handleGot(batches) ?? true,
      onEnd: (cause) => this.ended(cause),
      onThrown: rethrowLater,
      onFlushed: (callback) => void this.flushed.push(callback),
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
    this.host.onTurnEnd();
    this.machine?.flush(this.stream?.hasRead);
    if (this.gap !== undefined || this.flushed.length === 0 || (this.machine?.outbound.heldBytes ?? 0) > 0) return;
    this.callFlushed();
  }

  private callFlushed(): void {
    const callbacks = this.flushed;
    this.flushed = [];
    for (const callback of callbacks) callback();
  }

  private welcomed(welcomed: Welcomed): void {
    const { life, gap } = this;
    const { resumed } = welcomed.info;
    if (life === undefined || gap === undefined) return this.begin(welcomed);
    if (resumed !== undefined) return this.continue(life, welcomed, resumed.received);
    if (this.closed !== undefined) return this.lost(gap.error);
    // The node has nothing left of the former trunk.
    const { isDraining } = this;
    this.endLife();
    this.host.onDown(this, gap.error, isDraining);
    // A listener of the app may have closed the trunk.
    if (this.closed === undefined) this.begin(welcomed);
    else this.lost(gap.error);
  }

  /** Begins a trunk on a stream that was welcomed. */
  private begin({ welcome, info, rest }: Welcomed): void {
    const machine = new Machine(this.machineHost(), this.counters);
    this.life = new Life(machine, this.stream as Stream, info, this.opening);
    this.isSpare = false;
    machine.start(welcome, info, this.config.rehome);
    this.openedAt = Date.now();
    this.isRefusedNow = false;
    if (this.everUp) this.counters.reconnects++;
    this.everUp = true;
    this.ticker = setInterval(
      () => {
        if (this.gap === undefined) this.machine?.handleTick();
        this.host.onTick();
      },
      Math.max(welcome.pingIntervalMs, 100),
    );
    machine.asksEachRequest = this.config.everyRequest && info.everyRequest;
    debug("up: node %s of version %s at %s", info.node, info.version, this.endpoint);
    for (const warning of info.warnings) this.host.onWarning(this, warning);
    if (this.lateSettings !== undefined) machine.changeSettings(this.lateSettings);
    const waiting = this.waiting.takeForNextTrunk();
    this.takesNumbers = info.frames.has("Number");
    // At once, even if there is nothing to broadcast yet: a node that does not know us cannot prove what a client of
    // ours has received.
    const next = this.host.nextBroadcast();
    if (this.takesNumbers) machine.outbound.numberFrom(waiting[0]?.count ?? next);
    for (const { broadcast, count } of waiting) machine.outbound.broadcast(broadcast, count);
    this.host.onUp(this, info);
    machine.handleFrames(rest);
  }

  /** Handles the end of a stream: if it broke, tries at once to continue the trunk on another. */
  private streamEnded(code: number, error: TrunklineError): void {
    const { life } = this;
    if (life === undefined || life.gap !== undefined || !life.isResumable(code)) return this.failed(error);
    debug("%s; trying to resume", error.message);
    this.stream = undefined;
    life.break(error, () => this.lost(error));
    this.connect();
  }

  /** Continues the trunk on a stream on which the node says that it does. */
  private continue(life: Life, { info, rest }: Welcomed, received: number): void {
    const stream = this.stream as Stream;
    const error = life.gap?.error as TrunklineError;
    if (!life.continue(stream, info, received)) {
      stream.send(
        errorBatch(ErrorCode.protocol, `resumed after ${received} batches, which cannot be`),
        () => undefined,
      );
      stream.leave(1008);
      return this.lost(error);
    }
    // They are among what was sent now.
    this.waiting.takeAll();
    this.counters.resumed++;
    debug("resumed at %s", this.endpoint);
    life.machine.handleFrames(rest);
    this.flush();
  }

  /** Handles the failure of a stream: in a gap another attempt follows, else the trunk is lost. */
  private failed(error: TrunklineError): void {
    const { gap } = this;
    if (gap === undefined) return this.lost(error);
    debug("%s; trying again to resume", error.message);
    this.stream?.leave(1000);
    this.stream = undefined;
    gap.again(() => this.connect());
  }

  private ended(cause: EndCause): void {
    if (cause.code === ErrorCode.another && cause.by === "node" && this.life === undefined) {
      this.isSpare = true;
      this.waiting.takeAll();
    }
    const final = this.finally(cause.code === ErrorCode.version || cause.code === ErrorCode.settings);
    this.stream?.leave(1008);
    this.failed(this.failures.ended(cause, final));
  }

  private refused(status: number, body: string): void {
    const refusal = parseRefusal(body);
    this.failed(this.failures.refused(status, refusal, this.finally(refusal.isForGood)));
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
    this.life = undefined;
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
    const { stream, isDraining } = this;
    this.stream = undefined;
    stream?.leave(1000);
    this.endLife();
    if (this.closed !== undefined) return this.closed.resolve();
    debug("%s", error.message);
    if (error.final) {
      this.endAttempts();
      return this.host.onFinal(this, error);
    }
    if (wasUp && Date.now() - this.openedAt >= STEADY_MS) this.backoff.reset();
    this.openedAt = 0;
    const delayMs = (this.isSpare ? this.host.spareDelayMs(this) : undefined) ?? this.backoff.next();
    debug("trying %s again in %d ms", this.endpoint, Math.round(delayMs));
    this.timer = setTimeout(() => this.connect(), delayMs);
    if (wasUp) this.host.onDown(this, error, isDraining);
    else if (!this.isSpare) this.host.onRetry(this, error);
  }

  /** Ends what depends on the trunk. */
  private endLife(): void {
    const { life } = this;
    const wasUp = this.isUp || this.openedAt !== 0;
    this.life = undefined;
    clearTimeout(this.timer);
    clearInterval(this.ticker);
    this.counters.broadcastsDropped += life?.end() ?? 0;
    if (wasUp) this.host.onPeers(this, []);
    this.callFlushed();
  }

  private sayGoodbye(machine: Machine): void {
    const finish = (): void => {
      clearTimeout(this.timer);
      if (this.gap !== undefined) return this.lost(this.gap.error);
      machine.flush();
      clearInterval(this.ticker);
      this.life?.sayGoodbye();
      this.stream?.close(1000);
    };
    this.timer = setTimeout(finish, LAST_WORDS_MS_MAX);
    this.flushed.push(finish);
    setImmediate(() => this.flush());
  }

  /** Closes a trunk that never came up. */
  private finish(): void {
    const stream = this.stream;
    this.stream = undefined;
    this.life?.end();
    this.life = undefined;
    stream?.drop();
    this.closed?.resolve();
  }

  private wait(broadcast: Broadcast, count: number): void {
    if (this.final || this.closed !== undefined || this.isSpare) return;
    if (this.waiting.add(broadcast, count)) return;
    if (this.gap === undefined) this.counters.broadcastsDropped++;
    else this.gap.broadcastsLost++;
  }
}
