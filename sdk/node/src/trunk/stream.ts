/** One stream to the node: it opens, says `Hello`, waits for `Welcome`, and then carries the batches of a trunk. */
import type { ConnectionOptions } from "node:tls";
import type { OpenWire, Wire } from "../transport/ws.js";
import { errorBatch, helloBatch, readAnswer, type Welcomed } from "./opening.js";
import type { EndCause } from "./machine_types.js";
import { signToken } from "./token.js";
import { whenRead } from "./when_read.js";

const WELCOME_MS_MAX = 10_000;

/** The configuration of a stream. */
export interface StreamConfig {
  readonly hub: string;
  readonly key: string;
  readonly tls: ConnectionOptions | undefined;
  /** Our id, by which a node recognises a returning app server. */
  readonly server: string;
  readonly sdk: string;
  readonly openWire: OpenWire;
}

/** Receives the events of a stream. */
export interface StreamHandlers {
  /** The JSON of `Hello.settings`, requested when the stream is open. @param from our own end's address */
  settings(from: string | undefined): string;
  onWelcome(welcomed: Welcomed): void;
  onBatch(batch: Buffer): void;
  /** Called when the kernel has taken a batch of ours. */
  onSent(): void;
  /** Called when the answer to `Hello` is an error, or is one for us. */
  onUnwelcome(cause: EndCause): void;
  /** Called when the node answered the upgrade with another HTTP status. */
  onRefused(status: number, body: string): void;
  /** Called when no `Welcome` came in time. */
  onSilence(forMs: number): void;
  /** Called when the stream ended, or could not be opened. */
  onClose(code: number, reason: string, error: Error | undefined): void;
}

/** One stream to the node. */
export class Stream {
  private readonly handlers: StreamHandlers;
  private readonly wire: Wire;
  private timer: NodeJS.Timeout | undefined;
  private isWelcomed = false;
  private isLeft = false;

  constructor(config: StreamConfig, url: URL, handlers: StreamHandlers) {
    const { hub, key, tls, server, sdk, openWire } = config;
    this.handlers = handlers;
    const unlessLeft = <Args extends unknown[]>(handle: (...args: Args) => void) => {
      return (...args: Args): void => {
        if (!this.isLeft) handle(...args);
      };
    };
    this.wire = openWire(url, signToken(hub, key), tls, {
      onOpen: unlessLeft(() => {
        this.send(helloBatch(server, sdk, handlers.settings(this.wire.from)), () => undefined);
        this.awaitWelcome();
      }),
      onBatch: unlessLeft((batch: Buffer) => {
        if (this.isWelcomed) handlers.onBatch(batch);
        else this.answered(batch);
      }),
      onSent: unlessLeft(handlers.onSent),
      onRefused: unlessLeft(handlers.onRefused),
      onClose: unlessLeft((code: number, reason: string, error: Error | undefined) => {
        clearTimeout(this.timer);
        handlers.onClose(code, reason, error);
      }),
    });
  }

  /** Whether a batch was read that will be handed on before anything else is read. */
  get hasRead(): boolean {
    return this.wire.hasRead === true;
  }

  /** Whether something that was sent is still in this process. */
  get isBlocked(): boolean {
    return this.wire.isBlocked === true;
  }

  /** Sends one batch. The buffer must not be changed until `sent` is called. */
  send(batch: Buffer, sent: () => void): void {
    this.wire.send(batch, sent);
  }

  /** Sends what is under way, then closes; `onClose` follows. */
  close(code: number): void {
    this.wire.close(code);
  }

  /** Sends what is under way, then closes. No event follows. */
  leave(code: number): void {
    this.isLeft = true;
    clearTimeout(this.timer);
    this.wire.close(code);
  }

  /** Ends the stream at once. No event follows. */
  drop(): void {
    this.isLeft = true;
    clearTimeout(this.timer);
    this.wire.terminate();
  }

  private awaitWelcome(): void {
    const fail = (): void => {
      // It may have arrived just now.
      if (!this.isLeft && !this.isWelcomed) this.handlers.onSilence(WELCOME_MS_MAX);
    };
    this.timer = setTimeout(() => whenRead(fail), WELCOME_MS_MAX);
  }

  private answered(batch: Buffer): void {
    const answer = readAnswer(batch);
    if (answer === undefined) return;
    clearTimeout(this.timer);
    if ("welcome" in answer) {
      this.isWelcomed = true;
      return this.handlers.onWelcome(answer);
    }
    if (answer.by === "us") this.send(errorBatch(answer.code, answer.message), () => undefined);
    this.handlers.onUnwelcome(answer);
  }
}
