/**
 * Decodes frames to objects (`spec/trunk.md`, section 2). The machine reads `Message` without an object; all others
 * pass here.
 */
import {
  BroadcastFlag,
  DESCRIPTION_BYTES_MAX,
  Found,
  FrameType,
  MarkFlag,
  MessageFlag,
  NodeState,
  NO_ERROR_CODE,
  OPTIONAL_FROM,
  Operation,
  Origin,
  PartKind,
  PING_TOKEN_BYTES_MAX,
  RequestFlag,
  SendFlag,
  StandingFlag,
  TransportCode,
  type Adopted,
  type ClientRequest,
  type ClientResponse,
  type Frame,
  type FrameBodies,
  type Header,
  type ListedNode,
  type Missed,
  type Part,
  type Position,
} from "./frames.js";
import { HeaderBlocks, type OwnValue } from "./header_blocks.js";
import { DecodeError, type Reader } from "./reader.js";

const SEND_FLAGS = SendFlag.binary | SendFlag.volatile | SendFlag.attached | SendFlag.compress;
const BROADCAST_FLAGS = BroadcastFlag.volatile | BroadcastFlag.local | BroadcastFlag.compress;

const STANDING_FLAGS = StandingFlag.owes | StandingFlag.insidePacket | StandingFlag.leaves;
const OPERATIONS: readonly number[] = Object.values(Operation);
const ORIGINS = [Origin.orphan, Origin.handedOver, Origin.moved];
const NODE_STATES = [NodeState.up, NodeState.draining, NodeState.left];

const EIO_VERSIONS = [3, 4];
const TRANSPORTS = [TransportCode.polling, TransportCode.websocket];

/**
 * Reads the type and the length of the next frame and sets the reader to its body. Returns the type and the previous
 * end of the readable bytes.
 */
export function openFrame(reader: Reader): number {
  const type = reader.u8("a frame's type");
  const length = reader.varint("a frame's length");
  reader.need(length, "a frame's body");
  reader.end = reader.pos + length;
  return type;
}

/** Ends the reading of a body: sets the reader to the next frame. */
export function closeFrame(reader: Reader, type: number, batchEnd: number): void {
  const growable = type === FrameType.Hello || type === FrameType.Welcome;
  if (reader.pos !== reader.end && !growable) {
    throw new DecodeError("leftover_bytes", `a frame of type ${hex(type)} has bytes after its last field`);
  }
  reader.pos = reader.end;
  reader.end = batchEnd;
}

/** Decodes all frames of a batch, except unknown optional ones. @throws DecodeError */
export function decodeBatch(reader: Reader): Frame[] {
  const batchEnd = reader.end;
  const frames: Frame[] = [];
  while (reader.pos < batchEnd) {
    const type = openFrame(reader);
    const frame = decodeBody(type, reader);
    closeFrame(reader, type, batchEnd);
    if (frame !== undefined) frames.push(frame);
  }
  return frames;
}

/** Decodes the frame at whose body the reader is; undefined for an unknown optional frame. @throws DecodeError */
export function decodeBody(type: number, r: Reader): Frame | undefined {
  switch (type) {
    case FrameType.Hello:
      return {
        type: "Hello",
        versionMin: r.varint("version_min"),
        versionMax: r.varint("version_max"),
        credit: r.varint("credit"),
        server: r.str("server"),
        sdk: r.str("sdk"),
        settings: r.str("settings"),
      };
    case FrameType.Welcome:
      return {
        type: "Welcome",
        version: r.varint("version"),
        credit: r.varint("credit"),
        pingIntervalMs: r.varint("ping_interval_ms"),
        batchBytesMax: r.varint("batch_bytes_max"),
        info: r.str("info"),
      };
    case FrameType.Error:
      return { type: "Error", code: r.varint("code"), message: r.str("message") };
    case FrameType.Ping:
      return { type: "Ping", token: token(r) };
    case FrameType.Pong:
      return { type: "Pong", token: token(r) };
    case FrameType.Credit:
      return { type: "Credit", bytes: r.varint("bytes") };
    case FrameType.Drain:
      return { type: "Drain", deadlineMs: r.varint("deadline_ms") };
    case FrameType.Settings:
      return { type: "Settings", settings: r.str("settings") };
    case FrameType.Open:
      return decodeOpen(r);
    case FrameType.Accept:
      return {
        type: "Accept",
        session: r.varint("session"),
        sid: r.str("sid"),
        headers: headers(r),
        lasting: headers(r),
      };
    case FrameType.Reject:
      return { type: "Reject", session: r.varint("session"), response: response(r) };
    case FrameType.Message:
      return { type: "Message", session: r.varint("session"), flags: flags(r, MessageFlag.binary), payload: r.rest() };
    case FrameType.Send:
      return { type: "Send", session: r.varint("session"), flags: flags(r, SEND_FLAGS), payload: r.rest() };
    case FrameType.Close:
      return {
        type: "Close",
        session: r.varint("session"),
        reason: r.u8("reason"),
        description: r.restStr(DESCRIPTION_BYTES_MAX, "description"),
      };
    case FrameType.Upgraded:
      return { type: "Upgraded", session: r.varint("session"), transport: transport(r) };
    case FrameType.Mark:
      return { type: "Mark", session: r.varint("session"), mark: r.varint("mark"), flags: flags(r, MarkFlag.now) };
    case FrameType.Marked:
      return {
        type: "Marked",
        session: r.varint("session"),
        mark: r.varint("mark"),
        waitingBytes: r.varint("waiting_bytes"),
      };
    case FrameType.Request:
      return {
        type: "Request",
        requestId: r.varint("request_id"),
        code: oneOf(r.u8("code"), [0, 1, 2, 3, 4, 5, NO_ERROR_CODE], "code"),
        context: r.str("context"),
        request: request(r),
      };
    case FrameType.Response:
      return { type: "Response", requestId: r.varint("request_id"), response: response(r) };
    case FrameType.Namespace:
      return { type: "Namespace", nsp: r.varint("nsp"), name: r.str("name") };
    case FrameType.Attach:
      return {
        type: "Attach",
        session: r.varint("session"),
        nsp: r.varint("nsp"),
        socket: r.str("socket"),
        rooms: rooms(r),
      };
    case FrameType.Release:
      return { type: "Release", nsp: r.varint("nsp") };
    case FrameType.Beside:
      return {
        type: "Beside",
        session: r.varint("session"),
        nsp: r.varint("nsp"),
        socket: r.str("socket"),
        rooms: rooms(r),
      };
    case FrameType.Choose:
      return { type: "Choose", session: r.varint("session"), nsp: r.varint("nsp"), socket: r.str("socket") };
    case FrameType.Detach:
      return { type: "Detach", session: r.varint("session"), nsp: r.varint("nsp") };
    case FrameType.Join:
      return { type: "Join", session: r.varint("session"), nsp: r.varint("nsp"), rooms: rooms(r) };
    case FrameType.Leave:
      return { type: "Leave", session: r.varint("session"), nsp: r.varint("nsp"), rooms: rooms(r) };
    case FrameType.Broadcast:
      return {
        type: "Broadcast",
        nsp: r.varint("nsp"),
        flags: flags(r, BROADCAST_FLAGS),
        rooms: rooms(r),
        except: rooms(r),
        parts: parts(r),
      };
    case FrameType.Recorded:
      return {
        type: "Recorded",
        nsp: r.varint("nsp"),
        flags: flags(r, BROADCAST_FLAGS),
        offset: r.str("offset"),
        rooms: rooms(r),
        except: rooms(r),
        parts: parts(r),
      };
    case FrameType.Peers:
      return { type: "Peers", servers: servers(r) };
    case FrameType.Relay:
      return { type: "Relay", to: servers(r), payload: r.rest() };
    case FrameType.Relayed:
      return { type: "Relayed", from: r.str("from"), payload: r.rest() };
    case FrameType.Persist:
      return {
        type: "Persist",
        session: r.varint("session"),
        nsp: r.varint("nsp"),
        pid: r.str("pid"),
        socket: r.str("socket"),
        rooms: rooms(r),
        data: r.rest(),
      };
    case FrameType.Restore:
      return {
        type: "Restore",
        requestId: r.varint("request_id"),
        nsp: r.varint("nsp"),
        pid: r.str("pid"),
        offset: r.str("offset"),
      };
    case FrameType.Restored:
      return {
        type: "Restored",
        requestId: r.varint("request_id"),
        found: oneOf(r.u8("found"), [0, 1], "found"),
        socket: r.str("socket"),
        rooms: rooms(r),
        data: r.bytes("data"),
        missed: r.list("missed", 1, missed),
      };
    case FrameType.Reattach:
      return {
        type: "Reattach",
        session: r.varint("session"),
        nsp: r.varint("nsp"),
        socket: r.str("socket"),
        rooms: rooms(r),
        pid: r.str("pid"),
        log: r.str("log"),
        last: r.str("last"),
        cut: cut(r),
      };
    case FrameType.Adopt:
      return decodeAdopt(r);
    case FrameType.State:
      return {
        type: "State",
        session: r.varint("session"),
        nsp: r.varint("nsp"),
        socket: r.str("socket"),
        pid: r.str("pid"),
        state: r.rest(),
      };
    case FrameType.Handled:
      return { type: "Handled", begun: r.varint("begun"), done: r.varint("done") };
    case FrameType.Standing:
      return { type: "Standing", session: r.varint("session"), flags: flags(r, STANDING_FLAGS) };
    case FrameType.Got:
      return { type: "Got", batches: r.varint("batches") };
    case FrameType.Number:
      return { type: "Number", high: r.varint("high"), low: r.varint("low") };
    case FrameType.RestoredAt:
      return {
        type: "RestoredAt",
        requestId: r.varint("request_id"),
        found: oneOf(r.u8("found"), [Found.no, Found.yes, Found.taken], "found"),
        socket: r.str("socket"),
        rooms: rooms(r),
        data: r.bytes("data"),
        missed: r.list("missed", 1, missed),
        log: r.str("log"),
        last: r.str("last"),
        cut: cut(r),
      };
    case FrameType.Prove:
      return { type: "Prove", session: r.varint("session"), requestId: r.varint("request_id"), cut: cut(r) };
    case FrameType.Proved:
      return { type: "Proved", requestId: r.varint("request_id"), holds: oneOf(r.u8("holds"), [0, 1], "holds") };
    case FrameType.GiveBack:
      return { type: "GiveBack", nsp: r.varint("nsp"), pid: r.str("pid") };
    case FrameType.Call:
      return { type: "Call", requestId: r.varint("request_id"), name: r.str("name"), arguments: r.str("arguments") };
    case FrameType.Called: {
      const requestId = r.varint("request_id");
      return { type: "Called", requestId, done: oneOf(r.u8("done"), [0, 1], "done"), answer: r.str("answer") };
    }
    case FrameType.Operate:
      return {
        type: "Operate",
        nsp: r.str("nsp"),
        op: oneOf(r.u8("op"), OPERATIONS, "op"),
        rooms: rooms(r),
        except: rooms(r),
        args: rooms(r),
      };
    case FrameType.Unhomed:
      return { type: "Unhomed", waiting: oneOf(r.u8("waiting"), [0, 1], "waiting") };
    case FrameType.Nodes:
      // The shortest has two empty texts.
      return { type: "Nodes", nodes: r.list("nodes", 4, listedNode) };
    case FrameType.Load:
      return { type: "Load", sessions: r.varint("sessions"), lagMs: r.varint("lag_ms") };
    default:
      if (type < OPTIONAL_FROM) throw new DecodeError("unknown_type", `frame type ${hex(type)} is not known`);
      r.pos = r.end;
      return undefined;
  }
}

/**
 * Decodes the body of an `Open`. A stampede consists of these, and V8 compiles this function sooner than all of {@link
 * decodeBody}.
 */
export function decodeOpen(r: Reader): { type: "Open" } & FrameBodies["Open"] {
  return {
    type: "Open",
    session: r.varint("session"),
    eio: oneOf(r.u8("eio"), EIO_VERSIONS, "eio"),
    sid: r.str("sid"),
    request: request(r),
  };
}

function decodeAdopt(r: Reader): { type: "Adopt" } & FrameBodies["Adopt"] {
  return {
    type: "Adopt",
    session: r.varint("session"),
    eio: oneOf(r.u8("eio"), EIO_VERSIONS, "eio"),
    sid: r.str("sid"),
    transport: transport(r),
    origin: oneOf(r.u8("origin"), ORIGINS, "origin"),
    request: request(r),
    // The shortest has five empty fields.
    sockets: r.list("sockets", 5, adopted),
  };
}

function adopted(r: Reader): Adopted {
  return { nsp: r.str("nsp"), socket: r.str("socket"), pid: r.str("pid"), rooms: rooms(r), state: r.bytes("state") };
}

function listedNode(r: Reader): ListedNode {
  return {
    id: r.str("id"),
    number: r.varint("number"),
    url: r.str("url"),
    state: oneOf(r.u8("state"), NODE_STATES, "state"),
  };
}

function request(r: Reader): ClientRequest {
  return {
    transport: transport(r),
    flags: flags(r, RequestFlag.encrypted),
    address: r.shared("address"),
    port: port(r),
    method: r.shared("method"),
    url: r.shared("url"),
    rawHeaders: rawHeaders(r),
    claims: r.str("claims"),
  };
}

function response(r: Reader): ClientResponse {
  const status = r.varint("status");
  if (status < 200 || status > 999) throw new DecodeError("undefined_value", `status ${status} is none of HTTP's`);
  return { status, headers: headers(r), body: r.bytes("body") };
}

function headers(r: Reader): Header[] {
  return r.list("headers", 2, header);
}

const blocks = new HeaderBlocks();

/** Reads headers as one flat list without an object for each header, because there is a request for every client. */
function rawHeaders(r: Reader): string[] {
  const known = blocks.read(r);
  if (known !== undefined) return known;
  const start = r.pos;
  const own: OwnValue[] = [];
  const count = r.count("headers", 2);
  // Allocated with the right length, because a list that grows keeps spare room.
  const flat = new Array<string>(2 * count);
  for (let index = 0; index < flat.length; index += 2) {
    const name = r.shared("a header's name");
    flat[index] = name;
    if (OWN_VALUES.has(name)) {
      const length = r.varint("a header's value");
      own.push({ index: index + 1, start: r.pos - start, end: r.pos - start + length });
      flat[index + 1] = r.utf8(length, "a header's value");
    } else flat[index + 1] = r.shared("a header's value");
  }
  blocks.keep(r, start, flat, own);
  return flat;
}

/** Headers whose values are different for each client: secrets, and values that change each time. */
const OWN_VALUES = new Set(["authorization", "cookie", "sec-websocket-key", "x-forwarded-for"]);

function header(r: Reader): Header {
  const name = r.shared("a header's name");
  return { name, value: OWN_VALUES.has(name) ? r.str("a header's value") : r.shared("a header's value") };
}

function rooms(r: Reader): string[] {
  return r.list("rooms", 1, room);
}

function room(r: Reader): string {
  return r.str("a room");
}

function server(r: Reader): string {
  return r.str("an app server's id");
}

function servers(r: Reader): string[] {
  return r.list("app servers", 1, server);
}

function cut(r: Reader): Position[] {
  return r.list("positions", 3, position);
}

function position(r: Reader): Position {
  return { server: server(r), high: r.varint("high"), low: r.varint("low") };
}

function missed(r: Reader): Missed {
  return { parts: parts(r) };
}

function parts(r: Reader): Part[] {
  return r.list("parts", 2, part);
}

function part(r: Reader): Part {
  return { kind: oneOf(r.u8("kind"), [PartKind.text, PartKind.binary], "kind"), data: r.bytes("data") };
}

function port(r: Reader): number {
  const value = r.varint("port");
  if (value > 0xffff) throw new DecodeError("undefined_value", `port ${value} is above 65535`);
  return value;
}

function transport(r: Reader): number {
  return oneOf(r.u8("transport"), TRANSPORTS, "transport");
}

function token(r: Reader): Buffer {
  const bytes = r.rest();
  if (bytes.length > PING_TOKEN_BYTES_MAX)
    throw new DecodeError("too_long", `a ping's token has ${bytes.length} bytes`);
  return bytes;
}

function flags(r: Reader, known: number): number {
  const value = r.u8("flags");
  if ((value & ~known) !== 0)
    throw new DecodeError("undefined_flag", `flags ${hex(value)} have a bit without a meaning`);
  return value;
}

function oneOf(value: number, allowed: readonly number[], what: string): number {
  if (!allowed.includes(value)) throw new DecodeError("undefined_value", `${what} ${value} has no meaning`);
  return value;
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(2, "0")}`;
}
