// What nodes are told about sessions that another app server may adopt: what each would lose, and its sockets' states.
import assert from "node:assert/strict";
import { test } from "node:test";
import { unpack } from "../dist/esm/data/pack.js";
import { adoptClient, guest, HOMES, REHOMES } from "./support/homes.js";
import { connectClient, startApp, types, until } from "./support/app.js";

const OWES = 1;
const INSIDE = 2;
const of = (trunk, ...kinds) => trunk.frames.filter(({ type }) => kinds.includes(type));
const said = (trunk) => of(trunk, "Standing").map(({ session, flags }) => [session, flags]);
const stateIn = ({ state }) => unpack(state);
/** Frames of all batches in the order in which they came. */
const order = (trunk, ...kinds) => types(trunk.batches.flat().filter(({ type }) => kinds.includes(type)));

/** A client whose state is known by now, and nothing else unread. */
async function settled(t, { session = 1, prepare, ...options } = {}) {
  const app = await startApp(t, { ...REHOMES, ...options });
  prepare?.(app.io);
  const socket = await connectClient(app.io, app.trunk, session);
  await app.trunk.settle();
  const frames = [...app.trunk.frames];
  app.trunk.frames.length = 0;
  return { ...app, socket, frames };
}

// The first test: only the first client of a process is known by nothing but its CONNECT.
test("the first client of a process is owed the answer to its CONNECT", async (t) => {
  const { trunk, io } = await startApp(t, REHOMES);
  let goOn;
  io.use((_socket, next) => (goOn = next));
  trunk.open(1);
  trunk.text(1, "0");
  assert.equal((await trunk.next("Standing")).flags, OWES);
  goOn();
  assert.equal((await trunk.next("Standing")).flags, 0);
});

test("an answer that a handler gives at once is no standing of its own", async (t) => {
  const { trunk, socket } = await settled(t);
  socket.on("ask", (answer) => answer(1));
  socket.on("later", (answer) => Promise.resolve().then(() => process.nextTick(answer, 2)));
  trunk.text(1, '20["ask"]', '21["later"]', '2["tell"]');
  await trunk.next("Send");
  await trunk.next("Send");
  await trunk.settle();
  assert.deepEqual(said(trunk), []);
});

test("an answer that is owed is told before the batch counts as done, and the end of it with the answer", async (t) => {
  const { trunk, socket } = await settled(t);
  const answers = [];
  socket.on("ask", (answer) => answers.push(answer));
  trunk.batches.length = 0;
  trunk.text(1, '20["ask"]', '21["ask"]');
  await trunk.next("Standing");
  await trunk.settle();
  const handled = trunk.batches.flat().filter(({ type }) => type === "Handled" || type === "Standing");
  assert.deepEqual(
    handled.slice(0, 3).map(({ type, done, flags }) => [type, done ?? flags]),
    [
      ["Handled", 0],
      ["Standing", OWES],
      ["Handled", 1],
    ],
  );
  answers[0]();
  await trunk.settle();
  assert.deepEqual(said(trunk), []);
  answers[1](Buffer.from("bytes"));
  // A second call of a callback is none.
  answers[0]();
  await trunk.settle();
  assert.deepEqual(said(trunk), [[1, 0]]);
  assert.deepEqual(order(trunk, "Send", "Standing").slice(-4), ["Send", "Send", "Send", "Standing"]);
});

test("a packet of which a part has come", async (t) => {
  const { trunk, socket } = await settled(t);
  const got = [];
  socket.on("bytes", (value) => got.push(value));
  trunk.text(1, '51-["bytes",{"_placeholder":true,"num":0}]');
  assert.equal((await trunk.next("Standing")).flags, INSIDE);
  trunk.send({ type: "Message", session: 1, flags: 1, payload: Buffer.from("abc") });
  assert.equal((await trunk.next("Standing")).flags, 0);
  assert.deepEqual(got, [Buffer.from("abc")]);
});

for (const [name, refusal, sent] of [
  ["accepts", undefined, /^0\/slow,{"sid"/],
  ["refuses", new Error("no"), /^4\/slow,{"message":"no"/],
]) {
  test(`a client whose CONNECT waits for a middleware is owed the answer: it ${name}`, async (t) => {
    const { trunk, io } = await settled(t);
    let goOn;
    io.of("/slow").use((_socket, next) => (goOn = next));
    trunk.text(1, "0/slow,");
    assert.equal((await trunk.next("Standing")).flags, OWES);
    goOn(refusal);
    assert.equal((await trunk.next("Standing")).flags, 0);
    assert.match((await trunk.next("Send")).payload.toString(), sent);
  });
}

test("the state of a socket goes with its Attach, as the connection handler has left it", async (t) => {
  const { frames, socket } = await settled(t, {
    prepare: (io) =>
      io.on("connection", (each) => {
        each.join("r");
        each.data = { user: new Map([["id", 5n]]) };
      }),
  });
  const [attach, state] = frames.filter(({ type }) => type === "Attach" || type === "State");
  assert.deepEqual([attach.type, state.type], ["Attach", "State"]);
  assert.deepEqual([state.session, state.nsp, state.socket, state.pid], [1, attach.nsp, socket.id, socket.pid]);
  assert.deepEqual(stateIn(state), { data: socket.data, auth: {}, issued: socket.handshake.issued });
});

test("data that has changed is told again for a socket that is in use, and for no other", async (t) => {
  const { io, trunk, socket } = await settled(t);
  const quiet = await connectClient(io, trunk, 2);
  const idle = await connectClient(io, trunk, 3);
  // What was noted when they connected is compared first.
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  await trunk.settle();
  trunk.frames.length = 0;
  idle.data.secret = 1;
  socket.data.deep = { n: [1, { m: 2 }] };
  socket.emit("x");
  trunk.text(2, '2["x"]');
  assert.deepEqual(stateIn(await trunk.next("State")).data, socket.data);
  await trunk.settle();
  assert.deepEqual(of(trunk, "State"), []);
  socket.data.deep.n[1].m = 3;
  quiet.data.set = new Set([1]);
  trunk.text(1, '2["x"]');
  trunk.text(2, '2["x"]');
  assert.equal(stateIn(await trunk.next("State")).data.deep.n[1].m, 3);
  assert.deepEqual(stateIn(await trunk.next("State")).data, quiet.data);
  quiet.data.set.add(2);
  quiet.join("r");
  assert.deepEqual(stateIn(await trunk.next("State")).data.set, new Set([1, 2]));
});

test("`save` tells it at once, and says whether a node has it", async (t) => {
  const { trunk, trunkline, socket } = await settled(t);
  socket.data.step = 7;
  assert.equal(await trunkline.save(socket), true);
  assert.equal(stateIn(of(trunk, "State")[0]).data.step, 7);
  socket.data.step = () => 7;
  assert.equal(await trunkline.save(socket), false);
  assert.equal(await trunkline.save({ conn: {} }), false);
  socket.data.step = 8;
  assert.equal(await trunkline.save(socket), true);
  trunk.send({ type: "Close", session: 1, reason: 1, description: "" });
  await trunk.next("Close");
  assert.equal(await trunkline.save(socket), false);
});

test("data that cannot leave the process takes the former state back, with one warning for each kind", async (t) => {
  const { io, trunk, trunkline, socket, warnings } = await settled(t);
  const other = await connectClient(io, trunk, 2);
  await trunk.settle();
  trunk.frames.length = 0;
  socket.data.timer = setTimeout(() => undefined, 1);
  other.data.timer = socket.data.timer;
  await trunkline.save(socket);
  await trunkline.save(other);
  assert.deepEqual(
    of(trunk, "State").map(({ socket: id, state }) => [id, state.length]),
    [
      [socket.id, 0],
      [other.id, 0],
    ],
  );
  assert.equal(warnings.length, 1);
  assert.match(warnings[0], /namespace \/ cannot go to another app server: .*timer/);
  other.data = { long: "x".repeat(70_000) };
  assert.equal(await trunkline.save(other), false);
  assert.equal(warnings.length, 2);
});

const UNREADABLE = {
  "a getter that throws": () => ({
    get user() {
      throw new Error("no such user");
    },
  }),
  "a revoked proxy": () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    return { proxy };
  },
};
for (const [name, make] of Object.entries(UNREADABLE)) {
  test(`data that cannot be read is a warning, and no error of the process: ${name}`, async (t) => {
    const { io, trunk, trunkline, socket, warnings } = await settled(t);
    const other = await connectClient(io, trunk, 2);
    await trunk.settle();
    trunk.frames.length = 0;
    socket.data = make();
    other.data.step = 1;
    // Nobody calls from the app here: an error would end the process.
    socket.emit("x");
    other.emit("x");
    const states = [await trunk.next("State"), await trunk.next("State")];
    assert.deepEqual(
      states.map(({ session, state }) => [session, state.length > 0]),
      [
        [1, false],
        [2, true],
      ],
    );
    assert.equal(await trunkline.save(socket), false);
    assert.deepEqual([warnings.length, warnings[0]?.includes("cannot go to another app server")], [1, true]);
    trunk.frames.length = 0;
    socket.data = { step: 2 };
    other.data.step = 3;
    socket.emit("x");
    other.emit("x");
    const later = [await trunk.next("State"), await trunk.next("State")];
    assert.deepEqual(
      later.map((state) => stateIn(state).data.step),
      [2, 3],
    );
    assert.equal(await trunkline.save(socket), true);
  });
}

test("two sockets of one client in one namespace have no state, so the session ends with this process", async (t) => {
  const { io, trunk, trunkline } = await startApp(t, REHOMES);
  const sockets = [];
  io.on("connection", (socket) => sockets.push(socket));
  trunk.open(1);
  trunk.text(1, "0", "0");
  await until(() => sockets.length === 2);
  await trunk.settle();
  assert.deepEqual(order(trunk, "Attach", "Beside", "State"), ["Attach", "Beside"]);
  sockets[0].disconnect();
  assert.equal(await trunkline.save(sockets[1]), true);
  assert.deepEqual(
    of(trunk, "State").map(({ socket }) => socket),
    [sockets[1].id],
  );
});

test("an adopted session is told of as any other", async (t) => {
  const { io, trunk } = await startApp(t, REHOMES);
  io.on("connection", (socket) => socket.data.count++);
  await adoptClient(io, trunk, 1, { sockets: [guest({ data: { count: 1 }, auth: { a: 1 }, issued: 5 })] });
  assert.deepEqual(stateIn(await trunk.next("State")), { data: { count: 2 }, auth: { a: 1 }, issued: 5 });
  assert.deepEqual(order(trunk, "Attach", "Accept", "State", "Standing"), ["Attach", "Accept", "State"]);
});

const SILENT = {
  "no connectionStateRecovery": { io: {} },
  "rehome: false": { options: { rehome: false } },
  "a node of an earlier release": { node: {} },
  "a client of Engine.IO 3": { io: { connectionStateRecovery: {}, allowEIO3: true }, eio: 3 },
};
for (const [name, { eio = 4, ...options }] of Object.entries(SILENT)) {
  test(`nothing of this is told: ${name}`, async (t) => {
    const { io, trunk, trunkline } = await startApp(t, { ...REHOMES, ...options });
    assert.equal(JSON.parse(trunk.hello.settings).rehome, name.includes("node") || eio === 3 ? true : undefined);
    const sockets = [];
    io.on("connection", (socket) => sockets.push(socket));
    trunk.open(1, { eio });
    if (eio === 4) trunk.text(1, "0");
    await until(() => sockets.length === 1);
    sockets[0].on("ask", () => undefined);
    trunk.text(1, '20["ask"]');
    await trunk.settle();
    assert.equal(await trunkline.save(sockets[0]), false);
    assert.deepEqual(order(trunk, "State", "Standing"), []);
  });
}

test("the setting", async (t) => {
  const { trunk } = await startApp(t, { ...REHOMES, node: HOMES });
  assert.equal(JSON.parse(trunk.hello.settings).rehome, true);
});
