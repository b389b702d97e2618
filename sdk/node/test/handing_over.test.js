// Sessions that go from one app server to another, as the machine of a trunk sees them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CloseReason } from "../dist/esm/trunk/frames.js";
import { close, MachineUnderTest, message, putOff } from "./support/machine.js";
import { openFrame } from "./support/fake-node.js";
import { types } from "./support/app.js";

const HANDED_OVER = CloseReason.handedOver;
const MOVED = CloseReason.moved;

function adoptFrame(session) {
  const { request } = openFrame(session);
  const socket = { nsp: "/", socket: "s1", pid: "p1", rooms: ["r"], state: Buffer.from("x") };
  return { type: "Adopt", session, eio: 4, sid: `sid-${session}`, transport: 2, origin: 1, request, sockets: [socket] };
}

function opened(options) {
  const end = new MachineUnderTest(options);
  end.node(openFrame(1));
  end.accept(1);
  end.take();
  end.heard();
  return end;
}

test("an adopted session: the owner is asked, everything may be said before Accept, then messages come", () => {
  const end = new MachineUnderTest();
  end.node(adoptFrame(3));
  const [[name, { sid, sockets }]] = end.heard();
  assert.deepEqual([name, sid, sockets[0].socket, sockets[0].state.toString()], ["adopt", "sid-3", "s1", "x"]);
  const { outbound } = end.machine;
  outbound.attach(3, "/", "s1", ["r"]);
  outbound.send(3, 0, "hello");
  end.accept(3);
  assert.deepEqual(types(end.take()), ["Namespace", "Attach", "Send", "Accept"]);
  end.node(message(3, "hi"));
  assert.deepEqual(end.heard(), [["message", 3, "hi"]]);
});

test("before Accept the node may only close an adopted session", () => {
  const end = new MachineUnderTest();
  end.node(adoptFrame(3), close(3, 1));
  assert.deepEqual(end.heard()[1], ["closed", 3, 1]);
  assert.deepEqual(types(end.take()), ["Close"]);
  // The number is free again.
  end.node(adoptFrame(3), message(3, "hi"));
  assert.deepEqual(end.heard()[1].slice(0, 2), ["end", 1]);
});

test("an Adopt for a number in use is an error", () => {
  const end = opened();
  end.node(adoptFrame(1));
  assert.match(end.heard()[0][2], /Adopt came for session 1, which is in use/);
});

test("an adopted session waits until the end that came before it has been told", async () => {
  const end = opened();
  end.node(close(1, 1), adoptFrame(2));
  assert.deepEqual(end.heard(), []);
  await putOff();
  assert.deepEqual(
    end.heard().map(([name]) => name),
    ["closed", "adopt"],
  );
});

test("a session that leaves: its last messages first, a turn passes, then it says what it has, and the number is free", async () => {
  const end = opened();
  end.machine.standing(1, 4);
  assert.deepEqual(end.take(), [{ type: "Standing", session: 1, flags: 4 }]);
  end.node(message(1, "last"), close(1, HANDED_OVER));
  assert.deepEqual(end.heard(), [["message", 1, "last"]]);
  assert.deepEqual(end.take(), [], "nothing is answered on its own");
  await putOff();
  assert.deepEqual(end.heard(), [["leave", 1, undefined]]);
  end.machine.outbound.send(1, 0, "bye");
  end.machine.handOver(1);
  const sent = end.take();
  assert.deepEqual([types(sent), sent[1].reason], [["Send", "Close"], HANDED_OVER]);
  end.node(openFrame(1));
  assert.equal(end.heard()[0][0], "open");
});

test("a session that the app closes while it leaves is closed once, and its number is free", async () => {
  const end = opened();
  end.node(close(1, HANDED_OVER));
  end.machine.close(1, 5);
  await putOff();
  assert.deepEqual(end.heard(), [], "it is not asked to leave any more");
  assert.deepEqual(end.take(), [{ ...close(1, 5) }]);
  end.node(openFrame(1));
  assert.equal(end.heard()[0][0], "open");
});

test("a Close of ours that crosses the node's leave to go is the end of the number", async () => {
  const end = opened();
  end.machine.close(1, 5);
  end.node(close(1, HANDED_OVER), openFrame(1));
  await putOff();
  assert.deepEqual(
    end.heard().map(([name]) => name),
    ["open"],
  );
});

test("a second Close for a session that leaves is an error", () => {
  const end = opened();
  end.node(close(1, HANDED_OVER));
  end.node(close(1, 1));
  assert.match(end.heard()[0][2], /second Close/);
});

test("a session that moves may end on its way, once", async () => {
  const end = opened();
  end.node(close(1, MOVED));
  end.node(close(1, 9));
  await putOff();
  assert.deepEqual(end.heard(), [
    ["move", 1, false],
    ["move", 1, true],
  ]);
  end.machine.close(1, 6);
  assert.deepEqual(end.take(), [{ ...close(1, 6) }], "the number is free");
  end.node(openFrame(1));
  assert.equal(end.heard()[0][0], "open");
  end.accept(1);
  end.node(close(1, MOVED), close(1, 9), close(1, 9));
  assert.match(end.heard().at(-1)[2], /second Close/);
});

test("a trunk that ends while a session leaves tells it so", async () => {
  const end = opened();
  end.node(close(1, HANDED_OVER));
  end.machine.handleLost();
  await putOff();
  assert.deepEqual(end.heard(), [["lost", 1, undefined]]);
});

test("states and standings go to a node that takes them", () => {
  const end = opened();
  const { machine } = end;
  machine.outbound.attach(1, "/", "s1", []);
  assert.equal(machine.outbound.state(1, "/", "s1", "p1", Buffer.from("data")), true);
  machine.standing(1, 1);
  const sent = end.take();
  assert.deepEqual(types(sent), ["Namespace", "Attach", "State", "Standing"]);
  assert.deepEqual([sent[2].socket, sent[2].pid, sent[2].state.toString()], ["s1", "p1", "data"]);
});

test("states and standings do not go to a node that does not name them", () => {
  const end = opened({ frames: [] });
  const { machine } = end;
  machine.outbound.attach(1, "/", "s1", []);
  assert.equal(machine.outbound.state(1, "/", "s1", "p1", Buffer.from("data")), false);
  machine.standing(1, 1);
  assert.deepEqual(types(end.take()), ["Namespace", "Attach"]);
});

test("a state longer than a batch is not sent", () => {
  const end = opened();
  end.machine.outbound.attach(1, "/", "s1", []);
  assert.equal(end.machine.outbound.state(1, "/", "s1", "p1", Buffer.alloc(1 << 20)), false);
  assert.deepEqual(types(end.take()), ["Namespace", "Attach"]);
});

test("a state costs credit, and keeps its place among what waits for credit", () => {
  const end = opened({ credit: 1 });
  const { machine } = end;
  machine.outbound.attach(1, "/", "s1", []);
  machine.outbound.send(1, 0, "overdraws");
  machine.outbound.state(1, "/", "s1", "p1", Buffer.from("data"));
  machine.standing(1, 1);
  machine.outbound.state(1, "/", "s1", "p1", Buffer.from("more"));
  assert.deepEqual(types(end.take()), ["Namespace", "Attach", "Send"]);
  // Enough for one of them, which overdraws.
  end.node({ type: "Credit", bytes: 12 });
  assert.deepEqual(types(end.take()), ["State", "Standing"]);
  end.node({ type: "Credit", bytes: 100 });
  assert.deepEqual(types(end.take()), ["State"]);
});
