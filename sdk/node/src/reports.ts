/** What the operator is told: warnings, each kind of them once where one cause may occur a thousand times. */
import type { LeftOut } from "./data/not_plain.js";
import type { TrunklineError } from "./trunk/errors.js";
import type { Trunk } from "./trunk/trunk.js";

/** The most kinds of data in reports. Kinds contain paths with an app's own keys, so there may be any number. */
const KINDS_MAX = 100;

/** Where warnings go. */
export interface ReportsHost {
  /** Emits the warning. Returns whether anybody listens. */
  emitWarning(message: string): boolean;
}

/** The reports of one app server. */
export class Reports {
  /** Messages and broadcasts that were longer than a node takes. */
  tooLongCount = 0;
  private readonly host: ReportsHost;
  private readonly sentences = new Set<string>();
  /** The reported kinds of data that cannot leave the process. */
  private readonly notPlainKinds = new Set<string>();
  private readonly foreignAdapters = new Set<string>();
  /** The causes reported in the present outage of each trunk: one report for each cause, not for each attempt. */
  private readonly troubles = new Map<Trunk, Set<string>>();
  private oldNodeTold = false;
  private unreadableTold = false;
  /** Warnings from before the first turn, kept until the app has had time to add a listener. */
  private early: string[] | undefined = [];

  constructor(host: ReportsHost) {
    this.host = host;
  }

  /** Gives the app what was kept for it. */
  begin(): void {
    const { early = [] } = this;
    this.early = undefined;
    for (const message of early) this.warn(message);
  }

  warn(message: string): void {
    if (!this.host.emitWarning(message)) console.warn(`trunkline: ${message}`);
  }

  /** Reports each sentence once, and on the console even if the app listens to `warning`. */
  unhonoured(sentence: string): void {
    if (this.sentences.has(sentence)) return;
    this.sentences.add(sentence);
    const message = `this cannot be honoured for clients behind Trunkline: ${sentence}`;
    console.warn(`trunkline: ${message}`);
    this.host.emitWarning(message);
  }

  adapter(name: string, isReplaced: boolean): void {
    if (this.foreignAdapters.has(name)) return;
    this.foreignAdapters.add(name);
    const what = isReplaced
      ? `the server's adapter (${name}) was replaced by Trunkline's`
      : `the adapter ${name} was not installed: Trunkline's stays`;
    const message = `${what}, which reaches the clients of all app servers by itself; take the other one out of the app`;
    if (this.early === undefined) this.warn(message);
    else this.early.push(message);
  }

  tooLong(what: string, bytes: number): void {
    this.tooLongCount++;
    this.warn(`${what} was not sent: its ${bytes} bytes are more than the node takes in one piece`);
  }

  tooLongOperation(nsp: string): void {
    this.tooLongCount++;
    this.warn(
      `an operation on sockets of namespace ${nsp} passed over those that wait for an app server: its rooms are more than the node takes in one piece`,
    );
  }

  oldNode(): void {
    if (this.oldNodeTold) return;
    this.oldNodeTold = true;
    this.warn(
      "a node is of a release that does not number broadcasts: until it is updated, clients come back as new sockets",
    );
  }

  /** Reports only once: an app server of another release may have kept such data for thousands of clients. */
  unreadable({ message }: Error): void {
    if (this.unreadableTold) return;
    this.unreadableTold = true;
    this.warn(
      `what a node kept for a client that came back was ignored: ${message}; such clients come back as new ones`,
    );
  }

  /** Reports each kind of data once: thousands of clients may have the same. */
  notPlain(what: string, cause: LeftOut): void {
    const kind = `${what}: ${cause.kind}`;
    if (this.notPlainKinds.has(kind) || this.notPlainKinds.size >= KINDS_MAX) return;
    this.notPlainKinds.add(kind);
    this.warn(`${what}: ${cause.message}`);
  }

  /** Whether this cause of trouble is a new one since the trunk was up. */
  isNewTrouble(trunk: Trunk, { code, status, refusal }: TrunklineError): boolean {
    const cause = `${code} ${status ?? ""} ${refusal ?? ""}`;
    const told = this.troubles.get(trunk);
    if (told === undefined) this.troubles.set(trunk, new Set([cause]));
    else if (told.has(cause)) return false;
    else told.add(cause);
    return true;
  }

  /** Forgets the troubles of a trunk that is up again. */
  endTrouble(trunk: Trunk): void {
    this.troubles.delete(trunk);
  }
}
