/** Brings a trunk's batches to its stream, and to the next stream what the node did not receive on the former. */
import { Retained } from "./retained.js";
import type { Stream } from "./stream.js";

/** The carrier of one trunk. */
export class Carrier {
  private stream: Stream | undefined;
  private readonly recycle: (batch: Buffer) => void;
  /** Undefined if the trunk ends with its stream: then nothing is kept. */
  private readonly retained: Retained | undefined;
  /** The batches that the node has confirmed with `Got`. */
  private got = 0;

  /**
   * @param isResumable whether the trunk may get another stream
   * @param recycle takes the buffer of a batch that is no longer needed
   */
  constructor(stream: Stream, isResumable: boolean, recycle: (batch: Buffer) => void) {
    this.stream = stream;
    this.recycle = recycle;
    if (isResumable) this.retained = new Retained(recycle);
  }

  /** Whether another stream could bring everything that the node has not received. */
  get isWhole(): boolean {
    return this.retained?.isWhole ?? false;
  }

  /** Sends a batch, or keeps it for the next stream. */
  send(batch: Buffer): void {
    const { stream, retained } = this;
    const isFree = retained?.keep(batch) ?? true;
    stream?.send(batch, isFree ? () => this.recycle(batch) : ignore);
  }

  /** Handles a `Got` of the node. Returns false if it has received more than was sent. */
  handleGot(batches: number): boolean {
    this.got += batches;
    return this.retained?.confirm(this.got) ?? true;
  }

  /** Handles that the stream broke: batches wait for the next one. */
  pause(): void {
    this.stream = undefined;
  }

  /**
   * Goes on with another stream. Returns false if that is not possible. @param received how many batches the node has
   * received on the former streams
   */
  resume(stream: Stream, received: number): boolean {
    const missing = this.retained?.after(received);
    if (missing === undefined) return false;
    this.stream = stream;
    for (const batch of missing) stream.send(batch, ignore);
    return true;
  }
}

const ignore = (): void => undefined;
