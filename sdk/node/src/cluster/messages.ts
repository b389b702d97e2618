/**
 * The messages among app servers. Numbers and shapes are those of socket.io-adapter's `ClusterAdapter`; the numbers
 * from 100 on are ours.
 */
import { MessageType, type FetchedSocket } from "../socketio/types.js";

/** The types of messages that socket.io-adapter does not have. */
export const OwnType = {
  /**
   * The sender begins or stops having sockets that broadcasts reach only through it: direct ones, or ones with outgoing
   * listeners.
   */
  interest: 100,
  /** An answer to a question: the namespace does not exist here. */
  absent: 101,
  /** An answer to an operation: it is done. */
  done: 102,
  /**
   * An operation: another app server has asked the sender for a socket. The app server that has the socket keeps it for
   * its client, and ends it here.
   */
  takeOver: 103,
} as const;

/** The receivers and flags of a broadcast, with rooms as text. */
export interface WireOptions {
  readonly rooms: unknown[];
  readonly except: unknown[];
  readonly flags?:
    | { volatile?: boolean; compress?: boolean; local?: boolean; timeout?: number; expectSingleResponse?: boolean }
    | undefined;
}

/** A message from another app server. */
export interface ClusterMessage {
  readonly type: number;
  readonly nsp: string;
  /** The sender's id: the receiver sets it, as the node reports it. */
  readonly uid: string;
  readonly data: MessageData;
}

/** The fields of messages; each type uses some of them. */
export interface MessageData {
  readonly requestId?: string | undefined;
  /** In a question: the highest form of payloads that its sender reads; 1 if absent. */
  readonly form?: number;
  readonly opts?: WireOptions;
  /** In a join or a leave. */
  readonly rooms?: unknown[];
  readonly close?: boolean | undefined;
  /** In a server-side emit: the arguments. In an answer: the answer. */
  readonly packet?: unknown;
  /** In a broadcast: the packet as the app's parser encoded it. */
  readonly parts?: (string | Uint8Array)[];
  /** In a broadcast that Trunkline's nodes keep for clients that return. */
  readonly offset?: string | undefined;
  /** In a broadcast: whether the receiver must also serve the sockets behind Trunkline. */
  readonly everybody?: boolean;
  readonly sockets?: FetchedSocket[];
  readonly clientCount?: number;
  readonly on?: boolean;
  /** The id of a socket, as text. */
  readonly socket?: string;
}

type Check = (value: unknown) => boolean;

const isList: Check = (value) => Array.isArray(value);
const isText: Check = (value) => typeof value === "string";
const isBoolean: Check = (value) => typeof value === "boolean";
const isNumber: Check = (value) => typeof value === "number";
const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;
const isRecord: Check = (value) => isObject(value) && !Array.isArray(value);
const isTexts: Check = (value) => Array.isArray(value) && value.every(isText);
const isPart: Check = (value) => typeof value === "string" || value instanceof Uint8Array;
const isSocket: Check = (value) => {
  if (!isObject(value)) return false;
  const { id, rooms, handshake } = value as { id?: unknown; rooms?: unknown; handshake?: unknown };
  return isText(id) && isTexts(rooms) && isRecord(handshake);
};
/** The checks of known flags; a flag that this version does not know may have any value. */
const FLAGS: Readonly<Record<string, Check>> = {
  volatile: isBoolean,
  compress: isBoolean,
  local: isBoolean,
  expectSingleResponse: isBoolean,
  timeout: isNumber,
};
const isFlags: Check = (value) =>
  isRecord(value) &&
  Object.entries(value as object).every(([name, flag]) => flag === undefined || (FLAGS[name]?.(flag) ?? true));
const isOptions: Check = (value) => {
  if (!isObject(value)) return false;
  const { rooms, except, flags } = value as Partial<WireOptions>;
  return isTexts(rooms) && isTexts(except) && (flags === undefined || isFlags(flags));
};

/** The check of each field, the same for all types of messages. */
const FIELDS: { readonly [Field in keyof MessageData]-?: Check } = {
  requestId: isText,
  form: isNumber,
  opts: isOptions,
  rooms: isTexts,
  close: isBoolean,
  packet: () => true,
  parts: (value) => Array.isArray(value) && value.every(isPart),
  offset: isText,
  everybody: isBoolean,
  sockets: (value) => Array.isArray(value) && value.every(isSocket),
  clientCount: isNumber,
  on: isBoolean,
  socket: isText,
};
const NAMES = Object.keys(FIELDS) as (keyof MessageData)[];

/** The fields that a message of each type must have. */
const NEEDED: Readonly<Record<number, readonly (keyof MessageData)[]>> = {
  [MessageType.BROADCAST]: ["opts", "parts"],
  [MessageType.SOCKETS_JOIN]: ["opts", "rooms"],
  [MessageType.SOCKETS_LEAVE]: ["opts", "rooms"],
  [MessageType.DISCONNECT_SOCKETS]: ["opts"],
  [MessageType.FETCH_SOCKETS]: ["opts", "requestId"],
  [MessageType.FETCH_SOCKETS_RESPONSE]: ["requestId", "sockets"],
  [MessageType.SERVER_SIDE_EMIT]: ["packet"],
  [MessageType.SERVER_SIDE_EMIT_RESPONSE]: ["requestId"],
  [MessageType.BROADCAST_CLIENT_COUNT]: ["requestId", "clientCount"],
  [MessageType.BROADCAST_ACK]: ["requestId"],
  [OwnType.interest]: ["on"],
  [OwnType.absent]: ["requestId"],
  [OwnType.done]: ["requestId"],
  [OwnType.takeOver]: ["requestId", "socket"],
};

/** Checks a message. Returns undefined if it is malformed or of an unknown type. */
export function readMessage(value: unknown, from: string): ClusterMessage | undefined {
  if (!isObject(value)) return undefined;
  const { type, nsp, data } = value as Partial<ClusterMessage>;
  if (typeof type !== "number" || typeof nsp !== "string" || !isObject(data)) return undefined;
  if (!NAMES.every((name) => data[name] === undefined || FIELDS[name](data[name]))) return undefined;
  if (NEEDED[type]?.every((name) => data[name] !== undefined) !== true) return undefined;
  // The arguments of an event must be a list; an answer may be anything.
  if (type === MessageType.SERVER_SIDE_EMIT && !isList(data.packet)) return undefined;
  return { type, nsp, uid: from, data };
}

const ANSWERS: ReadonlySet<number> = new Set([
  MessageType.FETCH_SOCKETS_RESPONSE,
  MessageType.SERVER_SIDE_EMIT_RESPONSE,
  MessageType.BROADCAST_CLIENT_COUNT,
  MessageType.BROADCAST_ACK,
  OwnType.absent,
  OwnType.done,
]);

/** Whether the message answers a question or an operation. */
export function isAnswer(message: Pick<ClusterMessage, "type">): boolean {
  return ANSWERS.has(message.type);
}
