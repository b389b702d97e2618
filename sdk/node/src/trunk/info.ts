/** `Welcome.info`: the node's own properties (`spec/trunk.md`, section 3). */

/** The content of `Welcome.info`. */
export interface WelcomeInfo {
  readonly node: string;
  readonly version: string;
  readonly warnings: string[];
  /** Whether the node can ask about each request of a session. */
  readonly everyRequest: boolean;
  /** Names of frames that the node accepts beyond those of the first nodes. */
  readonly frames: ReadonlySet<string>;
  /** Whether `Handled` may begin a batch before it has come. */
  readonly handledAhead: boolean;
  /** How many namespaces may have a number at once. The first nodes do not say. */
  readonly namespacesMax: number;
  /** How the trunk can get another stream when this one breaks; undefined if it cannot. */
  readonly resume: { readonly trunk: string; readonly ms: number } | undefined;
  /** On a stream that continues a trunk: how many of our batches the node has received. */
  readonly resumed: { readonly received: number } | undefined;
}

/** The properties of a node that is up. */
export type NodeInfo = Pick<WelcomeInfo, "node" | "version" | "everyRequest" | "frames">;

/** The limits of a node for an app server. */
export type NodeLimits = Pick<WelcomeInfo, "frames" | "namespacesMax">;

/** The limits of a node that has said nothing yet. */
export const NO_LIMITS: NodeLimits = { frames: new Set(), namespacesMax: Infinity };

/** Parses `Welcome.info`; missing keys get the values of the first nodes. */
export function parseInfo(json: string): WelcomeInfo {
  const info = parseObject(json);
  const list = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);
  const max = info.namespaces_max;
  return {
    node: String(info.node ?? "?"),
    version: String(info.version ?? "?"),
    warnings: list(info.warnings),
    everyRequest: info.everyRequest === true,
    frames: new Set(list(info.frames)),
    handledAhead: info.handledAhead === true,
    resume: parseResume(info.resume),
    resumed: parseResumed(info.resumed),
    namespacesMax: typeof max === "number" && max > 0 ? max : Infinity,
  };
}

function parseResume(value: unknown): WelcomeInfo["resume"] {
  const { trunk, ms } = objectOf(value);
  return typeof trunk === "string" && typeof ms === "number" && ms > 0 ? { trunk, ms } : undefined;
}

function parseResumed(value: unknown): WelcomeInfo["resumed"] {
  const { received } = objectOf(value);
  return value === undefined ? undefined : { received: Number.isSafeInteger(received) ? (received as number) : -1 };
}

/** Parses a JSON object; anything else gives an empty object. */
export function parseObject(json: string): Record<string, unknown> {
  try {
    return objectOf(JSON.parse(json));
  } catch {
    return {};
  }
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
