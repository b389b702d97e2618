/**
 * Clients' tokens: what they say, when they end, and what an app may do about them. The node checks them
 * (`spec/trunk.md`, section 15).
 */
import { Conn } from "./session/conn.js";
import type { Called } from "./trunk/asked.js";
import type { Machine } from "./trunk/machine.js";
import type { Trunk } from "./trunk/trunk.js";

/** How long an app waits for a node's answer. */
const ANSWER_MS_MAX = 15_000;
/** The shortest time from one token to the question for the next. */
const AGAIN_MS_MIN = 1_000;
/** The longest token that a node takes, in bytes. */
const TOKEN_BYTES_MAX = 16 * 1024;
/** How often, and how long apart, a session that moves to another node is asked for. */
const MOVING_TRIES = 50;
const MOVING_MS = 100;
/** `setTimeout` cannot wait for longer. */
const TIMER_MS_MAX = 2 ** 31 - 1;
/** The most revocations that are kept for nodes that come later. */
const KEPT_MAX = 10_000;
/** For how long a node keeps a revocation, in seconds, unless the app says. */
const KEPT_S = 24 * 60 * 60;

/** A socket of the app, or anything else that has a connection. */
interface HasConn {
  readonly conn: unknown;
}

/** What a node is told, without the time for which. */
interface RevokeArguments {
  readonly user: string | number | undefined;
  readonly tokenId: string | number | undefined;
  readonly signedBefore: number | undefined;
}

/** A revocation, and until when it counts. */
interface Kept {
  readonly args: RevokeArguments;
  readonly until: number;
}

/** The verified claims of a token. */
export type TokenClaims = Readonly<Record<string, unknown>>;

/** What a new token says. */
export interface RefreshedToken {
  /** When it ends. */
  readonly expiresAt: Date | undefined;
  readonly claims: TokenClaims;
}

/** Which tokens are revoked: those of a user, or one. */
export interface Revocation {
  /** The user (the claim `sub`). */
  readonly user?: string | number;
  /** The token (the claim `jti`). */
  readonly tokenId?: string | number;
  /** With `user`: tokens that were signed at this time or later stay good. By default, all until now are revoked. */
  readonly signedBefore?: Date;
  /** For how many seconds nodes remember it: at least as long as tokens live. By default a day; at most 90. */
  readonly keepFor?: number;
}

/** What a revocation did. */
export interface Revoked {
  /** The nodes that know of it. */
  readonly nodes: number;
  /** The sessions that end because of it. */
  readonly sessions: number;
}

/** The reason why a token was not refreshed, or not revoked. */
export class TokenError extends Error {
  /** The node's own code, such as `token_signature` or `token_of_other_user`; `no_answer` if there was no answer. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = "TokenError";
    this.code = code;
  }
}

/** The tokens of one app server's clients. */
export class Tokens {
  private readonly trunks: () => readonly Trunk[];
  /** Revocations and when they end, for nodes that come later. */
  private readonly kept = new Map<string, Kept>();
  /** Those who want to know when the token of a connection changes. */
  private readonly watchers = new WeakMap<Conn, Set<() => void>>();

  constructor(trunks: () => readonly Trunk[]) {
    this.trunks = trunks;
  }

  /** The verified claims of the client's token; undefined for a client without one. */
  claims(socket: HasConn): TokenClaims | undefined {
    const { conn } = socket;
    const text = conn instanceof Conn ? (conn.request as Conn["request"] | undefined)?.claims : undefined;
    return text === undefined || text === "" ? undefined : (JSON.parse(text) as TokenClaims);
  }

  /** When the client's token ends; undefined for a client without one. */
  expiresAt(socket: HasConn): Date | undefined {
    return dateOf(this.claims(socket)?.["exp"]);
  }

  /**
   * Calls `listener` some time before the client's token ends, so that the app can ask the client for another one; once
   * for each token, and not after the client has gone. Returns a function that ends this.
   * @param options.before how long before the end, in milliseconds: a minute by default
   */
  onExpiring(
    socket: HasConn,
    listener: (expiresAt: Date) => void,
    { before = 60_000 }: { readonly before?: number } = {},
  ): () => void {
    const { conn } = socket;
    if (!(conn instanceof Conn)) return () => undefined;
    let timer: NodeJS.Timeout | undefined;
    const wait = (msMin: number): void => {
      clearTimeout(timer);
      const expiresAt = this.expiresAt(socket);
      if (expiresAt === undefined || Number.isNaN(expiresAt.getTime()) || conn.readyState !== "open") return;
      const left = expiresAt.getTime() - Date.now();
      // A token that lives no longer than `before` is not asked for again at once.
      const ms = Math.max(left - before, left / 2, msMin);
      const isLong = ms > TIMER_MS_MAX;
      timer = setTimeout(() => (isLong ? arm() : listener(expiresAt)), Math.min(ms, TIMER_MS_MAX));
      timer.unref();
    };
    const arm = (): void => wait(AGAIN_MS_MIN);
    const stop = (): void => {
      clearTimeout(timer);
      this.watchers.get(conn)?.delete(arm);
      conn.removeListener("close", stop);
    };
    const watchers = this.watchers.get(conn) ?? new Set();
    this.watchers.set(conn, watchers.add(arm));
    conn.once("close", stop);
    wait(0);
    return stop;
  }

  /**
   * Gives a client's session another token of the same user: it then lasts as long as that one, and goes on.
   * @throws TokenError when the token is not good for this session; the former one still counts
   */
  async refresh(socket: HasConn, token: string): Promise<RefreshedToken> {
    const { conn } = socket;
    if (!(conn instanceof Conn) || conn.readyState !== "open")
      throw new TokenError("session_unknown", "the client is not connected through Trunkline, or has gone");
    // It comes from a client, who may have sent anything.
    if (typeof token !== "string" || token.length > TOKEN_BYTES_MAX)
      throw new TokenError("token_malformed", `a token is a text of at most ${TOKEN_BYTES_MAX} bytes`);
    const answer = await this.refreshThere(conn, token);
    const claims = answer["claims"] as TokenClaims;
    const request = conn.request as Conn["request"] | undefined;
    if (request !== undefined) request.claims = JSON.stringify(claims);
    for (const changed of this.watchers.get(conn) ?? []) changed();
    return { expiresAt: dateOf(answer["expiresAt"]), claims };
  }

  /** A session that is on its way to another node is asked for there. */
  private async refreshThere(conn: Conn, token: string): Promise<Record<string, unknown>> {
    for (let tries = 1; ; tries++) {
      const { machine, number } = conn.line;
      try {
        return await call(machine, "tokens.refresh", { session: number, token });
      } catch (error) {
        const isMoving = error instanceof TokenError && error.code === "session_moving";
        if (!isMoving || tries >= MOVING_TRIES) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, MOVING_MS));
    }
  }

  /**
   * Revokes tokens at every node: sessions that use them end, and further ones are refused.
   * @throws TokenError when a node could not be told. The others know of it; the same call may be made again
   */
  async revoke({ user, tokenId, signedBefore, keepFor = KEPT_S }: Revocation): Promise<Revoked> {
    // The same second for all nodes, and for those that come later.
    if (signedBefore !== undefined && Number.isNaN(signedBefore.getTime()))
      throw new TypeError("revoke: signedBefore is no valid date");
    const before = signedBefore === undefined ? Math.floor(Date.now() / 1000) + 1 : signedBefore.getTime() / 1000;
    const args = { user, tokenId, signedBefore: user === undefined ? undefined : Math.ceil(before) };
    const trunks = this.trunks().filter((trunk) => trunk.isUp);
    if (trunks.length === 0) throw new TokenError("no_answer", "no trunk is up, so no node was told");
    // Before anybody is asked: a node may come while another one is waited for.
    const name = JSON.stringify([user, tokenId]);
    const former = this.kept.get(name);
    this.keep(name, args, Date.now() + keepFor * 1000);
    const said = trunks.map((trunk) => call(trunk.machine, "tokens.revoke", { ...args, keepFor }));
    const told = await Promise.allSettled(said);
    const failed = told.filter((one) => one.status === "rejected").map(({ reason }) => reason as TokenError);
    // What every node refuses is wrong, and would be for later nodes, too.
    if (failed.length === told.length && failed.every(({ code }) => code !== "no_answer")) {
      if (former === undefined) this.kept.delete(name);
      else this.kept.set(name, former);
    }
    if (failed[0] !== undefined) throw failed[0];
    const sessions = told.map((one) => (one.status === "fulfilled" ? Number(one.value["sessions"]) : 0));
    return { nodes: trunks.length, sessions: sessions.reduce((sum, count) => sum + count, 0) };
  }

  /** Tells a node that has just come what was revoked. */
  handleUp(trunk: Trunk): void {
    this.forgetEnded();
    for (const { args, until } of this.kept.values()) {
      const keepFor = Math.ceil((until - Date.now()) / 1000);
      // A node that cannot take it is asked again when it comes back.
      if (keepFor > 0) call(trunk.machine, "tokens.revoke", { ...args, keepFor }).catch(() => undefined);
    }
  }

  /** Keeps a revocation; one that is there already means all that either means, for the longer time. */
  private keep(name: string, args: RevokeArguments, until: number): void {
    const former = this.kept.get(name);
    if (former === undefined && this.kept.size >= KEPT_MAX) this.forgetEnded();
    const [oldest] = this.kept.keys();
    if (former === undefined && this.kept.size >= KEPT_MAX && oldest !== undefined) this.kept.delete(oldest);
    const before = Math.max(args.signedBefore ?? 0, former?.args.signedBefore ?? 0);
    const signedBefore = args.signedBefore === undefined ? undefined : before;
    this.kept.delete(name);
    this.kept.set(name, { args: { ...args, signedBefore }, until: Math.max(until, former?.until ?? 0) });
  }

  private forgetEnded(): void {
    const now = Date.now();
    for (const [name, { until }] of this.kept) if (until <= now) this.kept.delete(name);
  }
}

function dateOf(seconds: unknown): Date | undefined {
  return typeof seconds === "number" ? new Date(seconds * 1000) : undefined;
}

/** Asks a node to do something. */
async function call(machine: Machine | undefined, name: string, args: object): Promise<Record<string, unknown>> {
  if (machine === undefined || !machine.outbound.takes("Call"))
    throw new TokenError("old_node", "the node is of a version that cannot do this: update it");
  let timer: NodeJS.Timeout | undefined;
  const called = await new Promise<Called>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ANSWER_MS_MAX);
    machine.call(name, JSON.stringify(args), resolve);
  });
  clearTimeout(timer);
  if (called === undefined)
    throw new TokenError("no_answer", "the node did not answer; whether it did it is not known");
  const answer = read(called.answer);
  if (called.done === 1) return answer;
  throw new TokenError(String(answer["error"]), String(answer["message"]));
}

function read(answer: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(answer);
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new TokenError("bad_answer", "the node's answer cannot be read; are node and app server of one version?");
}
