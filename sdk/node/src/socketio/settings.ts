/**
 * The app's options for the node (`Hello.settings`), read as Socket.IO reads them. Its options pass through
 * comparisons, truth tests and `setTimeout`, which take `"25000"`, `25000 / 3` and `Infinity`; the node takes whole
 * numbers and booleans. What plain Socket.IO cannot work with either is passed on as it is: the node refuses it by its
 * name.
 */

/** The options that a node carries out, as the app said them. */
export type SaidOptions = Readonly<Record<string, unknown>>;

export interface NodeSettings {
  readonly settings: Record<string, unknown>;
  /** A sentence for each option of which clients behind Trunkline get something else. */
  readonly unhonoured: string[];
}

/** The most that a node takes for a number of bytes or milliseconds: the largest delay of a timer in Node.js. */
const NUMBER_MAX = 2 ** 31 - 1;

type Say = (sentence: string) => void;
type Reader = (value: unknown, say: Say) => unknown;

/**
 * One row for each key of `Hello.settings`. An option that is not there is left out: the node has Socket.IO's default.
 */
const READERS: Readonly<Record<string, Reader>> = {
  path: (value) => value,
  // Engine.IO leaves the slash out for `false` and for nothing else.
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
  // No option: broadcasts have numbers.
  numbers: Boolean,
};

/**
 * Engine.IO assigns the app's options over its defaults: what the app says to be undefined, such as a variable that is
 * not set, is not the default but undefined, and read as such.
 */
const REPLACED_BY_UNDEFINED: ReadonlySet<string> = new Set([
  "pingInterval",
  "pingTimeout",
  "upgradeTimeout",
  "maxHttpBufferSize",
  "allowUpgrades",
  "httpCompression",
]);

/** Names of the options that a node carries out. */
export const NODE_OPTIONS: readonly string[] = Object.keys(READERS);

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

/** As `setTimeout` reads a delay: in whole milliseconds, and what is below one or above its range is one. */
export function delayMs(value: unknown): number {
  const ms = number(value);
  return ms >= 1 && ms <= NUMBER_MAX ? Math.trunc(ms) : 1;
}

/** As `maxDisconnectionDuration` is compared with the clock: what is no number never expires. */
export function keepMs(value: unknown): number {
  const ms = number(value);
  return Number.isNaN(ms) ? NUMBER_MAX : Math.min(Math.max(Math.trunc(ms), 1), NUMBER_MAX);
}

function number(value: unknown): number {
  try {
    return Number(value);
  } catch {
    // A symbol, or an object that is no value.
    return NaN;
  }
}

function bytesMax(value: unknown, say: Say): number {
  const bytes = number(value);
  if (bytes >= 1 && bytes <= NUMBER_MAX) return Math.trunc(bytes);
  // For WebSockets all these mean that there is no limit.
  say(`a node takes no more than ${NUMBER_MAX} bytes; that is the limit for clients behind it`);
  return NUMBER_MAX;
}

/** As a count is compared with it: what is no number bounds nothing. */
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
  // A length is compared with it: what is no number is above every length.
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

/** `ws` takes a number or a boolean and passes over the rest. */
function windowBits(value: unknown): unknown {
  return typeof value === "boolean" ? value : typeof value === "number" ? printable(value) : undefined;
}

/**
 * zlib passes over NaN, cuts a fraction off, and throws at whatever is no number, with the first message that it
 * compresses.
 */
function zlibNumber(value: unknown): unknown {
  if (value === undefined || Number.isNaN(value)) return undefined;
  return typeof value === "number" ? printable(Math.trunc(value)) : String(value);
}

/** So that the node's refusal shows it: JSON has no infinity. */
function printable(value: number): unknown {
  return Number.isFinite(value) ? value : String(value);
}

function withoutUndefined(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
