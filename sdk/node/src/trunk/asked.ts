/** The questions of one trunk to its node that are not answered yet: each calls back once, whatever happens. */
import type { FrameBodies, Position } from "./frames.js";
import type { Outbound } from "./outbound.js";

type Restored = FrameBodies["RestoredAt"];
/** The answer to a call; undefined when the trunk has ended. */
export type Called = FrameBodies["Called"] | undefined;

/** The open questions of one trunk. */
export class Asked {
  private readonly outbound: Outbound;
  /** The callbacks for `Restored`, by request number. */
  private readonly restores = new Map<number, (restored: Restored | undefined) => void>();
  private lastRestore = 0;
  /** The callbacks for `Proved`, by request number. */
  private readonly proves = new Map<number, (holds: boolean) => void>();
  private lastProve = 0;
  /** The callbacks for `Called`, by request number. */
  private readonly calls = new Map<number, (called: Called) => void>();
  private lastCall = 0;
  /** The callbacks for fences, oldest first: each waits until the node has processed everything before it. */
  private readonly fences = new Map<string, () => void>();
  private lastFence = 0;

  constructor(outbound: Outbound) {
    this.outbound = outbound;
  }

  /** Asks for the socket that was persisted under a private id. */
  restore(nsp: string, pid: string, offset: string, done: (restored: Restored | undefined) => void): void {
    const namespace = this.outbound.namespace(nsp);
    if (namespace === undefined) return done(undefined);
    const requestId = this.lastRestore;
    this.lastRestore = (requestId + 1) >>> 0;
    this.restores.set(requestId, done);
    this.outbound.orderedFrame({ type: "Restore", requestId, nsp: namespace.number, pid, offset });
  }

  /** Asks whether a socket with these positions could return in this session. */
  prove(session: number, cut: Position[], done: (holds: boolean) => void): void {
    const requestId = this.lastProve;
    this.lastProve = (requestId + 1) >>> 0;
    this.proves.set(requestId, done);
    this.outbound.orderedFrame({ type: "Prove", session, requestId, cut });
  }

  /** Asks the node to do something. @param args a JSON object */
  call(name: string, args: string, done: (called: Called) => void): void {
    const requestId = this.lastCall;
    this.lastCall = (requestId + 1) >>> 0;
    this.calls.set(requestId, done);
    this.outbound.orderedFrame({ type: "Call", requestId, name, arguments: args });
  }

  /** Asks the node to say when it has processed everything sent so far. */
  fence(done: () => void): void {
    this.lastFence = (this.lastFence + 1) >>> 0;
    const token = `f${this.lastFence.toString(36)}`;
    this.fences.set(token, done);
    this.outbound.orderedFrame({ type: "Ping", token: Buffer.from(token) });
  }

  /** Takes the callback for an answer; undefined if nothing was asked under this number. */
  takeRestore(requestId: number): ((restored: Restored | undefined) => void) | undefined {
    return take(this.restores, requestId);
  }

  takeProve(requestId: number): ((holds: boolean) => void) | undefined {
    return take(this.proves, requestId);
  }

  takeCall(requestId: number): ((called: Called) => void) | undefined {
    return take(this.calls, requestId);
  }

  takeFence(token: Buffer): (() => void) | undefined {
    return this.fences.size === 0 ? undefined : take(this.fences, token.toString());
  }

  /** Calls back all that wait for an answer, because the trunk has ended. */
  endAll(): void {
    const restores = [...this.restores.values()];
    this.restores.clear();
    for (const done of restores) done(undefined);
    for (const done of this.proves.values()) done(false);
    this.proves.clear();
    const calls = [...this.calls.values()];
    this.calls.clear();
    for (const done of calls) done(undefined);
    for (const done of this.fences.values()) done();
    this.fences.clear();
  }
}

function take<Key, Done>(open: Map<Key, Done>, key: Key): Done | undefined {
  const done = open.get(key);
  open.delete(key);
  return done;
}
