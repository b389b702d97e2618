/**
 * Options of `useTrunkline`: option > connection string > environment > default. Every mistake is a TypeError that
 * names the option.
 */
import type { ConnectionOptions } from "node:tls";

/** The key of `trunkline dev`. It protects nothing: the node accepts it on loopback only. */
export const DEVELOPMENT_KEY = "trunkline-development-key-do-not-use-in-production";
/** The endpoint of an app that names none: a node on this machine. */
export const DEFAULT_ENDPOINT = "http://127.0.0.1:8080";
/** The hub of an app that names none. */
export const DEFAULT_HUB = "default";

/**
 * Options of `useTrunkline`. An option that is `undefined` counts as not given, so `key: process.env.HUB_KEY` is
 * correct.
 */
export interface TrunklineOptions {
  /**
   * The nodes: `http://`, `https://`, `ws://` or `wss://` URLs, with a path prefix if there is one. One trunk to each.
   * Nodes of a cluster name one another: the address of one of them, or of a balancer before them, is enough.
   * Environment: `TRUNKLINE_ENDPOINT`, separated by commas. Default: `http://127.0.0.1:8080`.
   */
  endpoint?: string | readonly string[] | undefined;
  /** The hub's name. Environment: `TRUNKLINE_HUB`. Default: `default`. */
  hub?: string | undefined;
  /**
   * One of the hub's keys, or a function that returns it, which is called for each attempt to open a trunk: a key that
   * has changed, such as in a file of secrets, then needs no restart. Environment: `TRUNKLINE_KEY`. Default: the
   * development key.
   */
  key?: string | (() => string) | undefined;
  /**
   * `Endpoint=…;AccessKey=…;Port=…;Version=1.0;`: endpoint and key in one string. The options `endpoint` and `key`
   * override it.
   */
  connectionString?: string | undefined;
  /** How to verify an `https://` node: `ca`, `cert`, `key`, `rejectUnauthorized` and other options of `tls.connect`. */
  tls?: ConnectionOptions | undefined;
  /**
   * Whether the app's own HTTP server continues to accept Socket.IO clients. With `false` their handshakes are refused
   * with an answer that names the endpoint. Default: `true`.
   */
  direct?: boolean | undefined;
  /**
   * When the trunks open, so that clients can connect: in the event-loop turn after `useTrunkline`, or when the app
   * calls `open()`, for an app that adds its `connection` listeners later, such as after `await db.connect()`. Default:
   * `"auto"`.
   */
  open?: "auto" | "manual" | undefined;
  /**
   * How `io.close()` ends the clients behind Trunkline: by the node, at a limited rate (`orphan_close_per_second`),
   * while this process may already end; or all at once, as in plain Socket.IO, so that they all reconnect at once.
   * Default: `"paced"`.
   */
  close?: "paced" | "at once" | undefined;
  /**
   * Whether engine middlewares (`io.engine.use`) and the `headers` event see every request of a polling client, as in
   * plain Socket.IO, and not only its handshake. Each poll and each post then waits for an answer of this process.
   * Default: `false`.
   */
  everyRequest?: boolean | undefined;
  /**
   * Whether clients go to another app server when this one leaves or dies, without a disconnect, and come here from
   * others. Only with the `connectionStateRecovery` of the `Server`: the app must be able to take a socket up from its
   * id, rooms and `data`. Default: `true`.
   */
  rehome?: boolean | undefined;
  /**
   * How long `io.close()` waits for clients that cannot go to another app server yet, in milliseconds: a handler still
   * has to answer them. Afterwards they are disconnected. Default: 5000.
   */
  handOverTimeout?: number | undefined;
}

/** The options with all defaults filled in. */
export interface ResolvedOptions {
  /** WebSocket addresses of the nodes' trunk listeners. */
  readonly endpoints: readonly URL[];
  readonly hub: string;
  /** Returns the key at present, or throws. */
  readonly key: () => string;
  readonly tls: ConnectionOptions | undefined;
  readonly direct: boolean;
  readonly open: "auto" | "manual";
  readonly close: "paced" | "at once";
  readonly everyRequest: boolean;
  readonly rehome: boolean;
  readonly handOverTimeout: number;
}

/** The largest delay of a timer in Node.js. */
const DELAY_MS_MAX = 2 ** 31 - 1;
const KNOWN: readonly string[] = [
  "endpoint",
  "hub",
  "key",
  "connectionString",
  "tls",
  "direct",
  "open",
  "close",
  "everyRequest",
  "rehome",
  "handOverTimeout",
];
/** The path of a node's trunk listener, after the endpoint's own path. */
export const TRUNK_PATH = "/trunk/v1";

/** @throws TypeError */
export function resolveOptions(options: TrunklineOptions = {}, env: NodeJS.ProcessEnv = process.env): ResolvedOptions {
  if (typeof options !== "object" || options === null) fail("options", "an object", options);
  for (const name of Object.keys(options)) {
    if (!KNOWN.includes(name))
      throw new TypeError(`useTrunkline: unknown option "${name}" (known: ${KNOWN.join(", ")})`);
  }
  const connection =
    options.connectionString === undefined ? undefined : parseConnectionString(options.connectionString);
  return {
    endpoints: endpointList(
      options.endpoint ?? connection?.endpoint ?? fromEnv(env.TRUNKLINE_ENDPOINT)?.split(",") ?? DEFAULT_ENDPOINT,
    ),
    hub: text("hub", options.hub ?? fromEnv(env.TRUNKLINE_HUB) ?? DEFAULT_HUB),
    key: keyOf(options.key ?? connection?.key ?? fromEnv(env.TRUNKLINE_KEY) ?? DEVELOPMENT_KEY),
    tls: tlsOptions(options.tls),
    direct: flag("direct", options.direct ?? true),
    open: choice("open", options.open ?? "auto", ["auto", "manual"]),
    close: choice("close", options.close ?? "paced", ["paced", "at once"]),
    everyRequest: flag("everyRequest", options.everyRequest ?? false),
    rehome: flag("rehome", options.rehome ?? true),
    handOverTimeout: delay("handOverTimeout", options.handOverTimeout ?? 5_000),
  };
}

interface Connection {
  endpoint: string;
  key: string;
}

function parseConnectionString(value: unknown): Connection {
  if (typeof value !== "string") fail("connectionString", "a string", value);
  const fields = new Map<string, string>();
  for (const field of value.split(";")) {
    if (field.trim() === "") continue;
    const split = field.indexOf("=");
    // The part before the "=" is a name and safe to show; without an "=" the text might be the key itself.
    if (split < 1) throw new TypeError('useTrunkline: option "connectionString" has a part without "name=value"');
    fields.set(field.slice(0, split).trim().toLowerCase(), field.slice(split + 1).trim());
  }
  const version = fields.get("version");
  if (version !== undefined && version !== "1.0") {
    throw new TypeError(`useTrunkline: option "connectionString" has Version=${version}, only 1.0 is known`);
  }
  return { endpoint: withPort(required(fields, "Endpoint"), fields.get("port")), key: required(fields, "AccessKey") };
}

function required(fields: Map<string, string>, name: string): string {
  const value = fields.get(name.toLowerCase());
  if (value === undefined || value === "")
    throw new TypeError(`useTrunkline: option "connectionString" has no ${name}`);
  return value;
}

function withPort(endpoint: string, port: string | undefined): string {
  if (port === undefined || port === "") return endpoint;
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65535) {
    throw new TypeError(`useTrunkline: option "connectionString" has Port=${port}, which is no port`);
  }
  const url = parseEndpoint(endpoint);
  url.port = port;
  return url.href;
}

function endpointList(value: unknown): URL[] {
  const list: unknown = typeof value === "string" ? [value] : value;
  if (!Array.isArray(list) || list.length === 0) fail("endpoint", "a URL or a list of URLs", value);
  const urls = new Map<string, URL>();
  for (const item of list as unknown[]) {
    const url = trunkUrl(item);
    // The same node twice would mean two trunks of one app server, which would replace each other again and again.
    urls.set(url.href, url);
  }
  return [...urls.values()];
}

function trunkUrl(value: unknown): URL {
  if (typeof value !== "string") fail("endpoint", "a URL or a list of URLs", value);
  const url = parseEndpoint(value.trim());
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    throw new TypeError(
      'useTrunkline: option "endpoint" is an address and a path prefix, without user, query or fragment',
    );
  }
  url.protocol = url.protocol === "https:" || url.protocol === "wss:" ? "wss:" : "ws:";
  url.pathname = url.pathname.replace(/\/+$/, "") + TRUNK_PATH;
  return url;
}

/** The trunk listener at an address that a node has named; undefined when it is no address. */
export function nodeUrl(value: string): URL | undefined {
  try {
    return trunkUrl(value);
  } catch {
    return undefined;
  }
}

function parseEndpoint(value: string): URL {
  let url: URL;
  try {
    url = new URL(value);
  } catch {
    throw new TypeError(`useTrunkline: option "endpoint" is not a URL: "${value}" (example: ${DEFAULT_ENDPOINT})`);
  }
  if (!["http:", "https:", "ws:", "wss:"].includes(url.protocol)) {
    throw new TypeError(
      `useTrunkline: option "endpoint" must start with http://, https://, ws:// or wss://, not ${url.protocol}`,
    );
  }
  return url;
}

function text(name: string, value: unknown): string {
  // The value may be a key of the wrong type: show its type, not its value.
  if (typeof value !== "string" || value === "") fail(name, "a string that is not empty", value);
  return value;
}

function keyOf(value: unknown): () => string {
  if (typeof value === "function") return () => text("key", (value as () => unknown)());
  const key = text("key", value);
  return () => key;
}

function flag(name: string, value: unknown): boolean {
  if (typeof value !== "boolean") fail(name, "true or false", value);
  return value;
}

function delay(name: string, value: unknown): number {
  if (typeof value !== "number" || !(value >= 0 && value <= DELAY_MS_MAX))
    fail(name, `a number of milliseconds, up to ${DELAY_MS_MAX}`, value);
  return value;
}

function choice<Word extends string>(name: string, value: unknown, words: readonly Word[]): Word {
  const found = words.find((word) => word === value);
  return found ?? fail(name, words.map((word) => `"${word}"`).join(" or "), value);
}

function tlsOptions(value: unknown): ConnectionOptions | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "object" || value === null) fail("tls", "an object", value);
  return value;
}

function fromEnv(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}

function fail(name: string, expected: string, value: unknown): never {
  const got =
    value === null ? "null" : Array.isArray(value) ? "a list" : value === "" ? "an empty string" : typeof value;
  throw new TypeError(`useTrunkline: option "${name}" must be ${expected}, not ${got}`);
}
