/**
 * The registry of the trunk protocol (`spec/trunk.md`, section 2): frame numbers, the shape of each body, and the named
 * values in them. Field names are those of the spec in camelCase. Numbers are unsigned and fit in 32 bits.
 */

/** The numbers of the frame types. */
export const FrameType = {
  Hello: 0x01,
  Welcome: 0x02,
  Error: 0x03,
  Ping: 0x04,
  Pong: 0x05,
  Credit: 0x06,
  Drain: 0x07,
  Settings: 0x08,
  Open: 0x10,
  Accept: 0x11,
  Reject: 0x12,
  Message: 0x13,
  Send: 0x14,
  Close: 0x15,
  Upgraded: 0x16,
  Request: 0x17,
  Response: 0x18,
  Adopt: 0x19,
  Mark: 0x1a,
  Marked: 0x1b,
  Namespace: 0x20,
  Attach: 0x21,
  Detach: 0x22,
  Join: 0x23,
  Leave: 0x24,
  Broadcast: 0x25,
  Recorded: 0x26,
  Reattach: 0x27,
  Release: 0x28,
  Beside: 0x29,
  Choose: 0x2a,
  Peers: 0x30,
  Relay: 0x31,
  Relayed: 0x32,
  Persist: 0x33,
  Restore: 0x34,
  Restored: 0x35,
  State: 0x36,
  Handled: 0x37,
  Standing: 0x38,
  Number: 0x39,
  Operate: 0x3b,
  Got: 0x3f,
  RestoredAt: 0x40,
  Prove: 0x41,
  Proved: 0x42,
  GiveBack: 0x43,
  Call: 0x44,
  Called: 0x45,
  Unhomed: 0x82,
  Nodes: 0x80,
  Load: 0x81,
} as const;

/** `RestoredAt.found`. */
export const Found = { no: 0, yes: 1, taken: 2 } as const;

/** Types from here on are optional: a receiver skips unknown ones. */
export const OPTIONAL_FROM = 0x80;

/** The bits of `Send.flags`. */
export const SendFlag = { binary: 1, volatile: 2, attached: 4, compress: 8 } as const;
/** The bits of `Broadcast.flags` and `Recorded.flags`. */
export const BroadcastFlag = { volatile: 1, local: 2, compress: 8 } as const;
/** The bits of `Message.flags`. */
export const MessageFlag = { binary: 1 } as const;
/** The bits of `Mark.flags`. */
export const MarkFlag = { now: 1 } as const;
/** The bits of `Standing.flags`. */
export const StandingFlag = {
  /** The app server owes the client an acknowledgement. */
  owes: 1,
  /** The app server has a part of a packet. */
  insidePacket: 2,
  /** The app server asks to hand the session over. */
  leaves: 4,
} as const;
/** The values of `Operate.op`. */
export const Operation = { join: 1, leave: 2, disconnect: 3, close: 4 } as const;
/** The values of `Adopt.origin`. */
export const Origin = { orphan: 1, handedOver: 2, moved: 3 } as const;
/** The values of a listed node's `state`. */
export const NodeState = { up: 1, draining: 2, left: 3 } as const;
/** The bits of `request.flags`. */
export const RequestFlag = { encrypted: 1 } as const;
/** The values of a part's `kind`. */
export const PartKind = { text: 0, binary: 1 } as const;
/** The values of `transport`. */
export const TransportCode = { polling: 1, websocket: 2 } as const;
/** `Request.code` of a request that is no Engine.IO error: a preflight. */
export const NO_ERROR_CODE = 255;

/** The codes of `Close.reason`. */
export const CloseReason = {
  clientClosed: 1,
  transportError: 2,
  pingTimeout: 3,
  parseError: 4,
  forcedClose: 5,
  serverShuttingDown: 6,
  outboxFull: 7,
  messageTooLarge: 8,
  nodeShuttingDown: 9,
  appServerLost: 10,
  clientGone: 11,
  closedWithMessages: 12,
  parseErrorWithMessages: 13,
  moved: 14,
  handedOver: 15,
} as const;

/** The codes of `Error.code`. */
export const ErrorCode = {
  protocol: 1,
  version: 2,
  settings: 3,
  credit: 4,
  replaced: 5,
  limit: 6,
  silence: 7,
  another: 9,
  keyRemoved: 10,
  hubRemoved: 11,
} as const;

/** The longest token of a `Ping`, in bytes. */
export const PING_TOKEN_BYTES_MAX = 16;
/** The longest description of a `Close`, in bytes. */
export const DESCRIPTION_BYTES_MAX = 1024;

/** One HTTP header. */
export interface Header {
  name: string;
  value: string;
}

/** A client's HTTP request. */
export interface ClientRequest {
  transport: number;
  flags: number;
  address: string;
  port: number;
  method: string;
  url: string;
  /** Name, value, name, value, as in Node.js. */
  rawHeaders: string[];
  claims: string;
}

/** An HTTP answer for a client. */
export interface ClientResponse {
  status: number;
  headers: Header[];
  body: Buffer;
}

/** One Engine.IO message of a packet for many sockets. */
export interface Part {
  kind: number;
  data: Buffer;
}

/** One recorded packet: its Engine.IO messages, in order. */
export interface Missed {
  parts: Part[];
}

/** One socket of a session that an app server adopts, as the node knows it. */
export interface Adopted {
  nsp: string;
  socket: string;
  pid: string;
  rooms: string[];
  state: Buffer;
}

/** All broadcasts of one app server up to a number, which is in two halves. */
export interface Position {
  server: string;
  high: number;
  low: number;
}

/** One node of the cluster. */
export interface ListedNode {
  id: string;
  number: number;
  url: string;
  state: number;
}

/** The bodies of frames by name; the type of every decoded or encoded frame is {@link Frame}. */
export interface FrameBodies {
  Hello: { versionMin: number; versionMax: number; credit: number; server: string; sdk: string; settings: string };
  Welcome: { version: number; credit: number; pingIntervalMs: number; batchBytesMax: number; info: string };
  Error: { code: number; message: string };
  Ping: { token: Buffer };
  Pong: { token: Buffer };
  Credit: { bytes: number };
  Drain: { deadlineMs: number };
  Settings: { settings: string };
  Open: { session: number; eio: number; sid: string; request: ClientRequest };
  Accept: { session: number; sid: string; headers: Header[]; lasting: Header[] };
  Reject: { session: number; response: ClientResponse };
  Message: { session: number; flags: number; payload: Buffer };
  Send: { session: number; flags: number; payload: Buffer };
  Close: { session: number; reason: number; description: string };
  Upgraded: { session: number; transport: number };
  Request: { requestId: number; code: number; context: string; request: ClientRequest };
  Response: { requestId: number; response: ClientResponse };
  Adopt: {
    session: number;
    eio: number;
    sid: string;
    transport: number;
    origin: number;
    request: ClientRequest;
    sockets: Adopted[];
  };
  Mark: { session: number; mark: number; flags: number };
  Marked: { session: number; mark: number; waitingBytes: number };
  Namespace: { nsp: number; name: string };
  Attach: { session: number; nsp: number; socket: string; rooms: string[] };
  Release: { nsp: number };
  Beside: { session: number; nsp: number; socket: string; rooms: string[] };
  Choose: { session: number; nsp: number; socket: string };
  Detach: { session: number; nsp: number };
  Join: { session: number; nsp: number; rooms: string[] };
  Leave: { session: number; nsp: number; rooms: string[] };
  Broadcast: { nsp: number; flags: number; rooms: string[]; except: string[]; parts: Part[] };
  Recorded: { nsp: number; flags: number; offset: string; rooms: string[]; except: string[]; parts: Part[] };
  Peers: { servers: string[] };
  Relay: { to: string[]; payload: Buffer };
  Relayed: { from: string; payload: Buffer };
  Persist: { session: number; nsp: number; pid: string; socket: string; rooms: string[]; data: Buffer };
  Restore: { requestId: number; nsp: number; pid: string; offset: string };
  Restored: { requestId: number; found: number; socket: string; rooms: string[]; data: Buffer; missed: Missed[] };
  Reattach: {
    session: number;
    nsp: number;
    socket: string;
    rooms: string[];
    pid: string;
    log: string;
    last: string;
    cut: Position[];
  };
  State: { session: number; nsp: number; socket: string; pid: string; state: Buffer };
  Handled: { begun: number; done: number };
  Standing: { session: number; flags: number };
  Number: { high: number; low: number };
  Got: { batches: number };
  RestoredAt: {
    requestId: number;
    found: number;
    socket: string;
    rooms: string[];
    data: Buffer;
    missed: Missed[];
    log: string;
    last: string;
    cut: Position[];
  };
  Prove: { session: number; requestId: number; cut: Position[] };
  Proved: { requestId: number; holds: number };
  GiveBack: { nsp: number; pid: string };
  Call: { requestId: number; name: string; arguments: string };
  Called: { requestId: number; done: number; answer: string };
  Operate: { nsp: string; op: number; rooms: string[]; except: string[]; args: string[] };
  Unhomed: { waiting: number };
  Nodes: { nodes: ListedNode[] };
  Load: { sessions: number; lagMs: number };
}

/** The name of a frame type. */
export type FrameName = keyof FrameBodies;
/** One frame: its type and its body. */
export type Frame = { [Name in FrameName]: { type: Name } & FrameBodies[Name] }[FrameName];
