// Two CONNECTs of one client for one namespace in one read: both sockets live, each in its own rooms, until each ends.
export const single = "the one client is told about by the app server that has it";
export const table = {
  "the first ends": { ends: "first" },
  "the second ends": { ends: "second" },
  "both end": { ends: "both" },
  "the client leaves": { ends: "client" },
  "the client leaves and enters again": { ends: "client", again: true },
  "in a namespace of its own": { nsp: "/own", ends: "first" },
  "in a namespace of its own, with polling": { nsp: "/own", ends: "first", polls: true },
};

const tag = (nsp) => (nsp === undefined ? "" : `${nsp},`);

export function app(io, log, { nsp = "/" }) {
  const sockets = [];
  const space = io.of(nsp);
  space.on("connection", (socket) => {
    const name = `socket ${sockets.push(socket)}`;
    log("connected", name);
    socket.join(["both", name]);
    socket.on("say", (word) => log(`${name} heard`, word));
    socket.on("disconnect", (reason) => log("disconnect", [name, reason]));
  });
  return {
    say: () => {
      space.emit("all");
      space.to("both").emit("both");
      space.to("socket 1").emit("first only");
      space.to("socket 2").emit("second only");
      space.except("socket 1").emit("not the first");
      for (const [index, socket] of sockets.entries()) socket.emit("own", index + 1);
      for (const socket of sockets) space.to(socket.id).emit("by id");
      space.emit("end");
    },
    move: () => {
      sockets[0].leave("both");
      sockets[1].join("late");
      sockets[0].join("early");
      space.to("both").emit("both");
      space.to("early").emit("early");
      space.to("late").emit("late");
      space.emit("end");
    },
    count: async () => [
      space.sockets.size,
      (await space.fetchSockets()).length,
      (await space.in("both").fetchSockets()).length,
    ],
    end: (which) => {
      if (which !== "second") sockets[0].disconnect();
      if (which !== "first") sockets[1].disconnect();
    },
  };
}

export async function run(t, { nsp, ends, again, polls }) {
  const connect = `40${tag(nsp)}`;
  let client;
  if (polls) {
    const session = await t.polling();
    const packets = [];
    client = {
      next: async () => {
        while (packets.length === 0) packets.push(...(await session.collect(1)));
        return packets.shift();
      },
      send: (...messages) => session.post(messages.join("\x1e")),
    };
  } else {
    const ws = await t.direct();
    client = {
      next: () => ws.next(),
      send: (...messages) => ws.together(() => messages.forEach((message) => ws.text(message))),
    };
  }
  const log = async (what, count) => {
    for (let left = count; left > 0; left--) t.log(what, named(await client.next()));
  };
  /** Everything up to the event that every socket receives last. */
  const round = async (what, action) => {
    const { length } = [await t.tell(action)];
    let packet;
    let left = Math.max((await t.tell("count"))[0], length);
    const heard = [];
    do {
      packet = await client.next();
      if (packet.includes('"end"')) left--;
      heard.push(named(packet));
    } while (left > 0);
    t.log(what, heard.sort());
  };
  await client.send(connect, connect);
  await log("connect", 2);
  await round("said to both", "say");
  await round("moved", "move");
  await client.send(`42${tag(nsp)}["say","hello"]`);
  await t.saw("socket 2 heard");
  if (ends === "client") await client.send(`41${tag(nsp)}`);
  else await t.tell("end", ends);
  if (ends !== "client") await log("end", ends === "both" ? 2 : 1);
  await t.saw("disconnect", { count: ends === "both" ? 2 : 1 });
  t.log("count", await t.tell("count"));
  if (again) {
    await client.send(connect);
    await log("connect", 1);
  }
  if (ends !== "both") await round("said", "say");
}

function named(packet) {
  return packet.replace(/"sid":"[^"]+"/, '"sid":"<socket>"');
}
