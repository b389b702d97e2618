/** The errors of a trunk, in the terms of `spec/trunk.md`. */

/** The kind of a trunk error. */
export type TrunklineErrorCode =
  /** The node refused the trunk with an HTTP answer; `status` and `refusal` say which. */
  | "refused"
  /** The node ended the trunk with an `Error` frame. */
  | "ended_by_node"
  /** The node broke the trunk protocol. */
  | "protocol"
  /** No connection, or it broke. */
  | "connection"
  /** `close()` was called before the trunk was up. */
  | "closed";

/** The details of an error. */
export interface TrunklineErrorDetails {
  /** The endpoint that the error belongs to. */
  readonly endpoint: string;
  /** Whether the trunk is given up: true for causes that a retry cannot fix, such as a wrong key. */
  readonly final: boolean;
  /** HTTP status of a refusal. */
  readonly status?: number;
  /** The node's own code for a refusal, such as `token_signature`. */
  readonly refusal?: string;
  readonly cause?: unknown;
}

/** An error of a trunk: what `Trunkline.ready` rejects with, and what its events `disconnect` and `error` carry. */
export class TrunklineError extends Error {
  readonly code: TrunklineErrorCode;
  readonly endpoint: string;
  readonly final: boolean;
  readonly status: number | undefined;
  readonly refusal: string | undefined;

  constructor(code: TrunklineErrorCode, message: string, details: TrunklineErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "TrunklineError";
    this.code = code;
    this.endpoint = details.endpoint;
    this.final = details.final;
    this.status = details.status;
    this.refusal = details.refusal;
  }
}

/** Throws an error of the app where it does no harm here: in a turn of its own. */
export function rethrowLater(error: unknown): void {
  process.nextTick(() => {
    throw error;
  });
}
