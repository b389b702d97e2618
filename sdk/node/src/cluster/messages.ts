/** What app servers tell one another. Numbers and shapes are those of socket.io-adapter's `ClusterAdapter`; those from 100 on are ours. */
import { MessageType, type FetchedSocket } from "../socketio/types.js";

export const OwnType = {
  /** The sender begins or ceases to have sockets that broadcasts must reach through it: direct ones, or ones with outgoing listeners. */
  interest: 100,
  /** To a question: the namespace does not exist here. */
  absent: 101,
  /** To an operation: it is done. */
  done: 102,
  /** An operation: a socket that the sender was asked for lives elsewhere, perhaps here; it is to be kept and to end. */
  takeOver: 103,
} as const;

export interface WireOptions {
  readonly rooms: unknown[];
  readonly except: unknown[];
  readonly flags?: { volatile?: boolean; compress?: boolean; local?: boolean; timeout?: number; expectSingleResponse?: boolean } | undefined;
}

export interface ClusterMessage {
  readonly type: number;
  readonly nsp: string;
  /** Who sent it: set by the receiver, from what the node says. */
  readonly uid: string;
  readonly data: MessageData;
}

export interface MessageData {
  readonly requestId?: string | undefined;
  readonly opts?: WireOptions;
  /** Of a join or a leave. */
  readonly rooms?: unknown[];
  readonly close?: boolean | undefined;
  /** Of a server-side emit: its arguments; of an answer: the answer. */
  readonly packet?: unknown;
  /** Of a broadcast: the packet as the app's parser encoded it. */
  readonly parts?: (string | Uint8Array)[];
  /** Of a broadcast that Trunkline's nodes keep for clients that come back. */
  readonly offset?: string | undefined;
  /** Of a broadcast: whether the receiver must serve the sockets behind Trunkline, too. */
  readonly everybody?: boolean;
  readonly sockets?: FetchedSocket[];
  readonly clientCount?: number;
  readonly on?: boolean;
  /** The id of a socket, as text. */
  readonly socket?: string;
}

type Check = (data: MessageData) => boolean;

const isList = (value: unknown): boolean => Array.isArray(value);
const isSocket = (value: unknown): boolean => typeof value === "object" && value !== null && isList((value as FetchedSocket).rooms);
const hasRequest: Check = ({ requestId }) => typeof requestId === "string";
const mayHaveRequest: Check = ({ requestId }) => requestId === undefined || typeof requestId === "string";
const hasOptions: Check = (data) => mayHaveRequest(data) && typeof data.opts === "object" && data.opts !== null && isList(data.opts.rooms) && isList(data.opts.except);

const CHECKS: Readonly<Record<number, Check>> = {
  [MessageType.BROADCAST]: (data) => hasOptions(data) && isList(data.parts) && data.parts?.every((part) => typeof part === "string" || part instanceof Uint8Array) === true,
  [MessageType.SOCKETS_JOIN]: (data) => hasOptions(data) && isList(data.rooms),
  [MessageType.SOCKETS_LEAVE]: (data) => hasOptions(data) && isList(data.rooms),
  [MessageType.DISCONNECT_SOCKETS]: hasOptions,
  [MessageType.FETCH_SOCKETS]: (data) => hasOptions(data) && hasRequest(data),
  [MessageType.FETCH_SOCKETS_RESPONSE]: (data) => hasRequest(data) && isList(data.sockets) && data.sockets?.every(isSocket) === true,
  [MessageType.SERVER_SIDE_EMIT]: (data) => mayHaveRequest(data) && isList(data.packet),
  [MessageType.SERVER_SIDE_EMIT_RESPONSE]: hasRequest,
  [MessageType.BROADCAST_CLIENT_COUNT]: (data) => hasRequest(data) && typeof data.clientCount === "number",
  [MessageType.BROADCAST_ACK]: hasRequest,
  [OwnType.interest]: ({ on }) => typeof on === "boolean",
  [OwnType.absent]: hasRequest,
  [OwnType.done]: hasRequest,
  [OwnType.takeOver]: (data) => hasRequest(data) && typeof data.socket === "string",
};

/** A message with all that its type needs; undefined when it is none, or of a type that we do not know. */
export function readMessage(value: unknown, from: string): ClusterMessage | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { type, nsp, data } = value as Partial<ClusterMessage>;
  if (typeof type !== "number" || typeof nsp !== "string" || typeof data !== "object" || data === null) return undefined;
  if (CHECKS[type]?.(data) !== true) return undefined;
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

export function isAnswer(message: ClusterMessage): boolean {
  return ANSWERS.has(message.type);
}
