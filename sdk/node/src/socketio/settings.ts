/**
 * The app's options for the node (`Hello.settings`), read as Socket.IO reads them. Socket.IO uses its options in
 * comparisons, truth tests and `setTimeout`, which accept `"25000"`, `25000 / 3` and `Infinity`; the node accepts whole
 * numbers and booleans. A value that plain Socket.IO cannot use either is passed on unchanged: the node refuses it by
 * name.
 */

/** The options that a node applies, as the app set them. */
export type SaidOptions = Readonly<Record<string, unknown>>;

/** The settings for the node, made from the app's options. */
export interface NodeSettings {
  readonly settings: Record<string, unknown>;
  /** A sentence for each option that clients behind Trunkline get with another value. */
  readonly unhonoured: string[];
}

/** The largest number of bytes or milliseconds that a node accepts: the largest delay of a timer in Node.js. */
const NUMBER_MAX = 2 ** 31 - 1;

type Say = (sentence: string) => void;
type Reader = (value: unknown, say: Say) => unknown;

/** One row for each key of `Hello.settings`. A missing option is left out: the node has Socket.IO's default. */
const READERS: Readonly<Record<string, Reader>> = {
  path: (value) => value,
  // Engine.IO omits the slash only for `false`.
  addTrailingSlash: (value) => value !== false,
  pingInterval: (value) => delayMs(value),
  pingTimeout: (value) => delayMs(value),
  upgradeTimeout: (value) => delayMs(value),
  connectTimeout: (value) => delayMs(value),
  maxHttpBufferSize: bytesMax,
  maxBufferedChunks: chunksMax,
  httpRequestBodyTimeout: (value) => delayMs(value),
  transports,
  allowUpgrades: Boolean,
  allowEIO3: Boolean,
  httpCompression,
  perMessageDeflate,
  connectionStateRecovery,
};

/**
 * Engine.IO assigns the app's options over its defaults: an option that the app sets to undefined, such as a variable
 * that is not set, replaces its default by undefined.
 */
const REPLACED_BY_UNDEFINED: ReadonlySet<string> = new Set([
  "pingInterval",
  "pingTimeout",
  "upgradeTimeout",
  "maxHttpBufferSize",
  "allowUpgrades",
  "httpCompression",
]);

/** Names of the options that a node applies. */
export const NODE_OPTIONS: readonly string[] = Object.keys(READERS);

/** Reads the app's options as Socket.IO does and makes the node's settings from them. */
export function nodeSettings(said: SaidOptions): NodeSettings {
  const settings: Record<string, unknown> = {};
  const unhonoured: string[] = [];
  for (const [name, read] of Object.entries(READERS)) {
    const value = said[name];
    const isSaid = value !== undefined || (REPLACED_BY_UNDEFINED.has(name) && name in said);
    if (isSaid) settings[name] = read(value, (sentence) => unhonoured.push(`${name}: ${sentence}`));
  }
  return { settings, unhonoured };
}

/** A delay as `setTimeout` reads it: whole milliseconds; a value below one or above its range becomes one. */
export function delayMs(value: unknown): number {
  const ms = number(value);
  return ms >= 1 && ms <= NUMBER_MAX ? Math.trunc(ms) : 1;
}

/** `maxDisconnectionDuration` as it is compared with the clock: a value that is no number never expires. */
export function keepMs(value: unknown): number {
  const ms = number(value);
  return Number.isNaN(ms) ? NUMBER_MAX : Math.min(Math.max(Math.trunc(ms), 1), NUMBER_MAX);
}

function number(value: unknown): number {
  try {
    return Number(value);
  } catch {
    // A symbol, or an object without a primitive value.
    return NaN;
  }
}

function bytesMax(value: unknown, say: Say): number {
  const bytes = number(value);
  if (bytes >= 1 && bytes <= NUMBER_MAX) return Math.trunc(bytes);
  // For WebSockets all these values mean "no limit".
  say(`a node takes no more than ${NUMBER_MAX} bytes; that is the limit for clients behind it`);
  return NUMBER_MAX;
}

/** A limit as a count is compared with it: a value that is no number is no limit. */
function chunksMax(value: unknown): number {
  const chunks = number(value);
  return Number.isNaN(chunks) ? NUMBER_MAX : Math.min(Math.max(Math.floor(chunks), 0), NUMBER_MAX);
}

function transports(value: unknown, say: Say): unknown {
  // `transports: "websocket"` works in Engine.IO, which only calls `indexOf`.
  if (typeof value !== "string" && !Array.isArray(value)) return value;
  const has = (name: string): boolean => value.indexOf(name) >= 0;
  const list = ["polling", "websocket"].filter(has);
  if (has("webtransport")) say("the node has no webtransport yet; clients get the others of the list");
  if (list.length === 0) say("the node has none of the list: it refuses every client");
  return list;
}

function httpCompression(value: unknown, say: Say): unknown {
  if (!value) return false;
  const { threshold, ...zlib } = Object(value) as Record<string, unknown>;
  if (Object.keys(zlib).length > 0)
    say(
      `a node takes "threshold" only, and compresses as zlib does by default, not with ${Object.keys(zlib).join(", ")}`,
    );
  // A length is compared with it: a value that is no number is larger than every length.
  return { threshold: thresholdBytes(threshold, 0) };
}

function perMessageDeflate(value: unknown): unknown {
  if (!value) return false;
  const said = Object(value) as Record<string, unknown>;
  const { level, memLevel } = Object(said.zlibDeflateOptions) as Record<string, unknown>;
  return withoutUndefined({
    threshold: said.threshold === undefined ? undefined : thresholdBytes(said.threshold, NUMBER_MAX),
    serverNoContextTakeover: flag(said.serverNoContextTakeover),
    clientNoContextTakeover: flag(said.clientNoContextTakeover),
    serverMaxWindowBits: windowBits(said.serverMaxWindowBits),
    clientMaxWindowBits: windowBits(said.clientMaxWindowBits),
    zlibDeflateOptions: withoutUndefined({ level: zlibNumber(level), memLevel: zlibNumber(memLevel) }),
  });
}

function connectionStateRecovery(value: unknown, say: Say): unknown {
  if (!value) return false;
  const said = Object(value) as Record<string, unknown>;
  const settings: Record<string, unknown> = {};
  if ("maxDisconnectionDuration" in said) {
    settings.maxDisconnectionDuration = keepMs(said.maxDisconnectionDuration);
    if (settings.maxDisconnectionDuration === NUMBER_MAX) say(`a node keeps sockets for ${NUMBER_MAX} ms at most`);
  }
  if ("skipMiddlewares" in said) settings.skipMiddlewares = Boolean(said.skipMiddlewares);
  return settings;
}

function thresholdBytes(value: unknown, ofNoNumber: number): number {
  const bytes = number(value);
  return Number.isNaN(bytes) ? ofNoNumber : Math.min(Math.max(Math.ceil(bytes), 0), NUMBER_MAX);
}

function flag(value: unknown): boolean | undefined {
  return value === undefined ? undefined : Boolean(value);
}

/** `ws` accepts a number or a boolean and ignores everything else. */
function windowBits(value: unknown): unknown {
  return typeof value === "boolean" ? value : typeof value === "number" ? printable(value) : undefined;
}

/**
 * A number for zlib: it ignores NaN, truncates fractions, and throws for anything that is no number, at the first
 * message that it compresses.
 */
function zlibNumber(value: unknown): unknown {
  if (value === undefined || Number.isNaN(value)) return undefined;
  return typeof value === "number" ? printable(Math.trunc(value)) : String(value);
}

/** A form of the number that the node's refusal can show: JSON has no infinity. */
function printable(value: number): unknown {
  return Number.isFinite(value) ? value : String(value);
}

function withoutUndefined(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
