/**
 * Encodes objects as frames (`spec/trunk.md`, section 2). `outbound.ts` writes `Send`, `Broadcast` and similar frames
 * without objects; all others pass here.
 */
import {
  FrameType,
  type Adopted,
  type ClientRequest,
  type ClientResponse,
  type Frame,
  type Header,
  type ListedNode,
  type Missed,
  type Part,
  type Position,
} from "./frames.js";
import type { Writer } from "./writer.js";

/** Appends a frame. */
export function encodeFrame(w: Writer, frame: Frame): void {
  const start = w.begin(FrameType[frame.type]);
  encodeBody(w, frame);
  w.finish(start);
}

function encodeBody(w: Writer, frame: Frame): void {
  switch (frame.type) {
    case "Hello":
      w.varint(frame.versionMin);
      w.varint(frame.versionMax);
      w.varint(frame.credit);
      w.str(frame.server);
      w.str(frame.sdk);
      return w.str(frame.settings);
    case "Welcome":
      w.varint(frame.version);
      w.varint(frame.credit);
      w.varint(frame.pingIntervalMs);
      w.varint(frame.batchBytesMax);
      return w.str(frame.info);
    case "Error":
      w.varint(frame.code);
      return w.str(frame.message);
    case "Ping":
    case "Pong":
      return w.raw(frame.token);
    case "Credit":
      return w.varint(frame.bytes);
    case "Drain":
      return w.varint(frame.deadlineMs);
    case "Settings":
      return w.str(frame.settings);
    case "Open":
      w.varint(frame.session);
      w.u8(frame.eio);
      w.str(frame.sid);
      return writeRequest(w, frame.request);
    case "Accept":
      w.varint(frame.session);
      w.str(frame.sid);
      writeHeaders(w, frame.headers);
      return writeHeaders(w, frame.lasting);
    case "Reject":
      w.varint(frame.session);
      return writeResponse(w, frame.response);
    case "Message":
    case "Send":
      w.varint(frame.session);
      w.u8(frame.flags);
      return w.raw(frame.payload);
    case "Close":
      w.varint(frame.session);
      w.u8(frame.reason);
      return w.rawText(frame.description);
    case "Upgraded":
      w.varint(frame.session);
      return w.u8(frame.transport);
    case "Mark":
      w.varint(frame.session);
      w.varint(frame.mark);
      return w.u8(frame.flags);
    case "Marked":
      w.varint(frame.session);
      w.varint(frame.mark);
      return w.varint(frame.waitingBytes);
    case "Request":
      w.varint(frame.requestId);
      w.u8(frame.code);
      w.str(frame.context);
      return writeRequest(w, frame.request);
    case "Response":
      w.varint(frame.requestId);
      return writeResponse(w, frame.response);
    case "Namespace":
      w.varint(frame.nsp);
      return w.str(frame.name);
    case "Release":
      return w.varint(frame.nsp);
    case "Attach":
    case "Beside":
      w.varint(frame.session);
      w.varint(frame.nsp);
      w.str(frame.socket);
      return w.strs(frame.rooms);
    case "Choose":
      w.varint(frame.session);
      w.varint(frame.nsp);
      return w.str(frame.socket);
    case "Detach":
      w.varint(frame.session);
      return w.varint(frame.nsp);
    case "Join":
    case "Leave":
      w.varint(frame.session);
      w.varint(frame.nsp);
      return w.strs(frame.rooms);
    case "Broadcast":
      w.varint(frame.nsp);
      w.u8(frame.flags);
      w.strs(frame.rooms);
      w.strs(frame.except);
      return writeParts(w, frame.parts);
    case "Recorded":
      w.varint(frame.nsp);
      w.u8(frame.flags);
      w.str(frame.offset);
      w.strs(frame.rooms);
      w.strs(frame.except);
      return writeParts(w, frame.parts);
    case "Peers":
      return w.strs(frame.servers);
    case "Relay":
      w.strs(frame.to);
      return w.raw(frame.payload);
    case "Relayed":
      w.str(frame.from);
      return w.raw(frame.payload);
    case "Persist":
      w.varint(frame.session);
      w.varint(frame.nsp);
      w.str(frame.pid);
      w.str(frame.socket);
      w.strs(frame.rooms);
      return w.raw(frame.data);
    case "Restore":
      w.varint(frame.requestId);
      w.varint(frame.nsp);
      w.str(frame.pid);
      return w.str(frame.offset);
    case "Restored":
      w.varint(frame.requestId);
      w.u8(frame.found);
      w.str(frame.socket);
      w.strs(frame.rooms);
      w.bytes(frame.data);
      return writeMissed(w, frame.missed);
    case "Reattach":
      w.varint(frame.session);
      w.varint(frame.nsp);
      w.str(frame.socket);
      w.strs(frame.rooms);
      w.str(frame.pid);
      w.str(frame.log);
      w.str(frame.last);
      return writeCut(w, frame.cut);
    case "Adopt":
      w.varint(frame.session);
      w.u8(frame.eio);
      w.str(frame.sid);
      w.u8(frame.transport);
      w.u8(frame.origin);
      writeRequest(w, frame.request);
      return writeAdopted(w, frame.sockets);
    case "State":
      w.varint(frame.session);
      w.varint(frame.nsp);
      w.str(frame.socket);
      w.str(frame.pid);
      return w.raw(frame.state);
    case "Handled":
      w.varint(frame.begun);
      return w.varint(frame.done);
    case "Standing":
      w.varint(frame.session);
      return w.u8(frame.flags);
    case "Number":
      w.varint(frame.high);
      return w.varint(frame.low);
    case "Got":
      return w.varint(frame.batches);
    case "RestoredAt":
      w.varint(frame.requestId);
      w.u8(frame.found);
      w.str(frame.socket);
      w.strs(frame.rooms);
      w.bytes(frame.data);
      writeMissed(w, frame.missed);
      w.str(frame.log);
      w.str(frame.last);
      return writeCut(w, frame.cut);
    case "Prove":
      w.varint(frame.session);
      w.varint(frame.requestId);
      return writeCut(w, frame.cut);
    case "Proved":
      w.varint(frame.requestId);
      return w.u8(frame.holds);
    case "GiveBack":
      w.varint(frame.nsp);
      return w.str(frame.pid);
    case "Call":
      w.varint(frame.requestId);
      w.str(frame.name);
      return w.str(frame.arguments);
    case "Called":
      w.varint(frame.requestId);
      w.u8(frame.done);
      return w.str(frame.answer);
    case "Operate":
      w.str(frame.nsp);
      w.u8(frame.op);
      w.strs(frame.rooms);
      w.strs(frame.except);
      return w.strs(frame.args);
    case "Unhomed":
      return w.u8(frame.waiting);
    case "Nodes":
      return writeNodes(w, frame.nodes);
    case "Load":
      w.varint(frame.sessions);
      return w.varint(frame.lagMs);
  }
}

function writeMissed(w: Writer, missed: Missed[]): void {
  w.varint(missed.length);
  for (const each of missed) writeParts(w, each.parts);
}

function writeAdopted(w: Writer, sockets: Adopted[]): void {
  w.varint(sockets.length);
  for (const { nsp, socket, pid, rooms, state } of sockets) {
    w.str(nsp);
    w.str(socket);
    w.str(pid);
    w.strs(rooms);
    w.bytes(state);
  }
}

function writeNodes(w: Writer, nodes: ListedNode[]): void {
  w.varint(nodes.length);
  for (const { id, number, url, state } of nodes) {
    w.str(id);
    w.varint(number);
    w.str(url);
    w.u8(state);
  }
}

function writeCut(w: Writer, cut: Position[]): void {
  w.varint(cut.length);
  for (const { server, high, low } of cut) {
    w.str(server);
    w.varint(high);
    w.varint(low);
  }
}

function writeRequest(w: Writer, value: ClientRequest): void {
  w.u8(value.transport);
  w.u8(value.flags);
  w.str(value.address);
  w.varint(value.port);
  w.str(value.method);
  w.str(value.url);
  w.varint(value.rawHeaders.length / 2);
  for (const text of value.rawHeaders) w.str(text);
  w.str(value.claims);
}

function writeResponse(w: Writer, value: ClientResponse): void {
  w.varint(value.status);
  writeHeaders(w, value.headers);
  w.bytes(value.body);
}

function writeParts(w: Writer, list: Part[]): void {
  w.varint(list.length);
  for (const { kind, data } of list) {
    w.u8(kind);
    w.bytes(data);
  }
}

function writeHeaders(w: Writer, list: Header[]): void {
  w.varint(list.length);
  for (const { name, value } of list) {
    w.str(name);
    w.str(value);
  }
}
