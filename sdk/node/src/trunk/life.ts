/**
 * One life of a trunk: from the `Welcome` that began it until nothing of it is left. It has one stream after the other
 * if the node keeps it while there is none (`spec/trunk.md`, section 11).
 */
import { Carrier } from "./carrier.js";
import type { TrunklineError } from "./errors.js";
import { Gap } from "./gap.js";
import type { WelcomeInfo } from "./info.js";
import { Intake } from "./intake.js";
import type { Machine } from "./machine.js";
import type { MachineHost } from "./machine_types.js";
import { sendOperation, type Operate } from "./operate.js";
import type { Stream } from "./stream.js";

/** WebSocket's code of a stream that ended without a close frame. */
const BROKEN = 1006;
/** The node is told no later than this what was received: until then it keeps its copy. */
const RECEIPT_MS = 1_000;

/** One life of a trunk. */
export class Life {
  readonly machine: Machine;
  /** The id of the node. */
  readonly node: string;
  /** The number of the `Hello` with which it began. */
  readonly opening: number;
  /** Whether the node has said that it leaves. */
  isDraining = false;
  private readonly carrier: Carrier;
  private readonly intake: Intake;
  private resume: WelcomeInfo["resume"];
  private present: Gap | undefined;
  private saysGoodbye = false;
  private receiptTimer: NodeJS.Timeout | undefined;
  /** Whether sockets of the hub may belong to no app server, as the node says. */
  private isUnhomed = false;

  constructor(machine: Machine, stream: Stream, { node, resume }: WelcomeInfo, opening: number) {
    this.machine = machine;
    this.node = node;
    this.opening = opening;
    this.resume = resume;
    this.carrier = new Carrier(stream, resume !== undefined, (batch) => machine.outbound.recycle(batch));
    this.intake = new Intake(machine, stream);
  }

  /** Present while there is no stream, and another one may come. */
  get gap(): Gap | undefined {
    return this.present;
  }

  /** What the node must know to continue this life on another stream. */
  get resumption(): { readonly trunk: string; readonly received: number } | undefined {
    return this.resume && { trunk: this.resume.trunk, received: this.machine.received };
  }

  handleBatch(batch: Buffer): void {
    this.intake.take(batch);
    this.noteReceived();
  }

  /** Handles that the kernel has taken a batch of ours. */
  handleSent(): void {
    if (!this.intake.isWaiting) return;
    this.machine.outbound.noteTaken();
    this.intake.handleDrained();
    this.noteReceived();
  }

  /** Sends a batch, or keeps it for the next stream. */
  transmit(batch: Buffer): void {
    this.carrier.send(batch);
    const gap = this.present;
    // In a turn of its own, because this is called from the app's code.
    if (gap !== undefined && !this.carrier.isWhole) setImmediate(() => gap.giveUp());
  }

  private noteReceived(): void {
    if (this.receiptTimer === undefined && this.machine.receipts.hasUntold) {
      this.receiptTimer = setTimeout(() => this.tellReceived(), RECEIPT_MS);
      this.receiptTimer.unref();
    }
  }

  private tellReceived(): void {
    this.receiptTimer = undefined;
    // The next stream says by itself what was received.
    if (this.present === undefined) this.machine.receipts.tell();
  }

  handleUnhomed(frame: Parameters<MachineHost["onUnhomed"]>[0], host: { onOperate(operate: Operate): void }): void {
    if (frame.type === "Operate") host.onOperate(frame);
    else this.isUnhomed = frame.waiting === 1;
  }

  /** Sends an operation if the node may have sockets for it. Returns false when it is too long for the node. */
  operate(operate: Operate): boolean {
    if (!this.isUnhomed || !this.machine.isOpen || !this.machine.outbound.takes("Operate")) return true;
    return sendOperation(this.machine.outbound, operate);
  }

  /** Handles a `Got` of the node. Returns false if it has received more than was sent. */
  handleGot(batches: number): boolean {
    return this.carrier.handleGot(batches);
  }

  /** Notes that the last words were sent: then the end of the stream is the end, however it comes. */
  sayGoodbye(): void {
    this.saysGoodbye = true;
  }

  /** Whether a stream that ended in this way may be followed by another one. */
  isResumable(code: number): boolean {
    return code === BROKEN && !this.saysGoodbye && this.machine.isOpen && this.carrier.isWhole;
  }

  /** Handles that the stream broke. @param onOver called when there was no other one in time */
  break(error: TrunklineError, onOver: () => void): void {
    this.carrier.pause();
    this.machine.handleBreak();
    this.intake.handleBreak();
    this.present = new Gap(error, this.resume?.ms ?? 0, this.machine.outbound.heldBroadcasts, onOver);
  }

  /**
   * Continues on a stream on which the node has said that it does. Returns false if that is not possible. @param
   * received how many of our batches the node has
   */
  continue(stream: Stream, { resume }: WelcomeInfo, received: number): boolean {
    if (!this.carrier.resume(stream, received)) return false;
    this.present?.end();
    this.present = undefined;
    this.resume = resume ?? this.resume;
    this.machine.handleResumed();
    this.intake.handleResumed(stream);
    return true;
  }

  /** Ends every session. Returns how many broadcasts are lost. */
  end(): number {
    clearTimeout(this.receiptTimer);
    const gap = this.present;
    this.present = undefined;
    gap?.end();
    const lost = gap?.broadcastsLost ?? this.machine.outbound.heldBroadcasts;
    this.machine.handleLost();
    this.intake.end();
    return lost;
  }
}
