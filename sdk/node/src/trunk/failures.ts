/** Why a trunk failed, in words for the app's log. */
import { TrunklineError, type TrunklineErrorCode, type TrunklineErrorDetails } from "./errors.js";
import { parseObject } from "./info.js";
import type { EndCause } from "./machine_types.js";

/**
 * The node's codes for refusals that a retry cannot fix (`spec/trunk.md`, section 1). An answer without one of them
 * comes from a proxy, or from a server that is not a node yet, whatever its status.
 */
const REFUSALS_FOR_GOOD: ReadonlySet<string> = new Set([
  "bad_request",
  "hub_unknown",
  "token_audience",
  "token_lifetime",
  "token_malformed",
  "token_missing",
  "token_signature",
]);

/** An HTTP answer in place of a trunk. */
export interface Refusal {
  readonly code: string;
  readonly message: string;
  /** Whether the node says that a retry cannot help. */
  readonly isForGood: boolean;
}

/** Reads the body of a refusal. */
export function parseRefusal(body: string): Refusal {
  const { error, message } = parseObject(body);
  const code = typeof error === "string" ? error : "";
  return {
    code,
    message: typeof message === "string" ? message : "no reason was given; is this address a trunkline node?",
    isForGood: REFUSALS_FOR_GOOD.has(code),
  };
}

/** Makes the errors of the trunk to one endpoint. */
export class Failures {
  private readonly endpoint: string;

  constructor(endpoint: string) {
    this.endpoint = endpoint;
  }

  /** @param isUp whether there was a trunk */
  closed(isUp: boolean, code: number, reason: string, error: Error | undefined): TrunklineError {
    const cause = error?.message || (reason === "" ? `the stream ended with code ${code}` : `${reason} (code ${code})`);
    const what = `the trunk to ${this.endpoint} ${isUp ? "broke" : "failed"}`;
    return this.error("connection", `${what}: ${describe(error) ?? cause}`, { cause: error });
  }

  keyless(error: unknown): TrunklineError {
    const why = error instanceof Error ? error.message : String(error);
    return this.error("connection", `the trunk to ${this.endpoint} failed: the option key gave no key: ${why}`, {
      cause: error,
    });
  }

  silent(forMs: number): TrunklineError {
    return this.error("connection", `the trunk to ${this.endpoint} failed: no Welcome came within ${forMs} ms`);
  }

  ended({ by, code, message }: EndCause, final: boolean): TrunklineError {
    const who =
      by === "node" ? `the node at ${this.endpoint} ended the trunk` : `the trunk to ${this.endpoint} was given up`;
    return this.error(by === "node" ? "ended_by_node" : "protocol", `${who}: ${message} (error ${code})`, { final });
  }

  refused(status: number, { code, message }: Refusal, final: boolean): TrunklineError {
    const text = `the node at ${this.endpoint} refused the trunk with HTTP ${status}${code === "" ? "" : ` ${code}`}: ${message}`;
    return this.error("refused", text, { final, status, refusal: code });
  }

  private error(
    code: TrunklineErrorCode,
    message: string,
    details: Partial<Omit<TrunklineErrorDetails, "endpoint">> = {},
  ): TrunklineError {
    return new TrunklineError(code, message, { final: false, ...details, endpoint: this.endpoint });
  }
}

function describe(error: Error | undefined): string | undefined {
  if (error === undefined) return undefined;
  // Connecting to several addresses of one name fails with an error that has no message of its own.
  if (error.message === "" && error instanceof AggregateError)
    return (error.errors as Error[]).map((each) => each.message).join("; ");
  return error.message;
}
