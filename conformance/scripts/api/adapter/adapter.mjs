// The adapter's maps and events.
const EVENTS = ["create-room", "delete-room", "join-room", "leave-room"];

export const cases = {
  "a listener that throws": {
    proves: ["Adapter: event join-room", "Adapter: event leave-room"],
    app(io, log) {
      const attempt = (action) => {
        try {
          action();
        } catch (error) {
          log("thrown", error.message);
        }
      };
      io.of("/").adapter.on("join-room", (room) => {
        if (room === "bad") throw new Error("join");
      });
      io.of("/").adapter.on("leave-room", (room) => {
        if (room === "left") throw new Error("leave");
      });
      io.on("connection", (socket) => {
        socket.on("go", () => {
          attempt(() => socket.join(["good", "bad", "behind"]));
          attempt(() => socket.join("left"));
          attempt(() => socket.leave("left"));
          for (const room of ["good", "bad", "behind", "left"]) io.to(room).emit("news", room);
        });
      });
    },
    async run(t) {
      const a = await t.connect("a");
      a.emit("go");
      await t.settle();
    },
  },
  events: {
    proves: EVENTS.map((event) => `Adapter: event ${event}`),
    single: "these read the state of one process",
    app(io, log) {
      for (const event of EVENTS) io.of("/").adapter.on(event, (room, id) => log(event, [room, id]));
    },
    async run(t) {
      const a = await t.connect("a");
      const b = await t.connect("b");
      await a.ask("join", ["red", "blue"]);
      await a.ask("join", "red");
      await b.ask("join", "red");
      await a.ask("leave", "red");
      await a.ask("leave", "never");
      b.socket.disconnect();
      await t.saw("disconnect", { who: "b" });
    },
  },
  "rooms and sids": {
    proves: ["Adapter#rooms", "Adapter#sids"],
    single: "these read the state of one process",
    app(io) {
      const { adapter } = io.of("/");
      const show = () => ({
        rooms: [...adapter.rooms].map(([room, ids]) => [room.length > 10 ? "its own" : room, [...ids]]),
        sids: [...adapter.sids].map(([id, rooms]) => [id, [...rooms]]),
      });
      io.on("connection", (socket) =>
        socket.on("at once", (done) => {
          const seen = [adapter.rooms.has("now")];
          socket.join("now");
          seen.push(
            adapter.rooms.get("now").has(socket.id),
            adapter.sids.get(socket.id).has("now"),
            socket.rooms.has("now"),
          );
          socket.leave("now");
          done([...seen, adapter.rooms.has("now"), socket.rooms.has("now")]);
        }),
      );
      return { show };
    },
    async run(t) {
      t.log("empty", await t.tell("show"));
      const a = await t.connect("a");
      await a.ask("join", ["red", "blue"]);
      t.log("joined", await t.tell("show"));
      t.log("at once", await a.ask("at once"));
      a.socket.disconnect();
      await t.saw("disconnect");
      t.log("gone", await t.tell("show"));
    },
  },
  "socketRooms and sockets": {
    proves: ["Adapter#socketRooms", "Adapter#sockets"],
    single: "these read the state of one process",
    app: (io) => ({
      async ask(id) {
        const { adapter } = io.of("/");
        return [
          [...(adapter.socketRooms(id) ?? [])],
          (await adapter.sockets(new Set(["red"]))).size,
          (await adapter.sockets(new Set())).size,
          adapter.socketRooms("none"),
        ];
      },
    }),
    async run(t) {
      const a = await t.connect("a");
      await t.connect("b");
      await a.ask("join", "red");
      t.log("answer", await t.tell("ask", a.id));
    },
  },
  // Methods that packages on top of the adapter call. "never" must not reach the client.
  "what others build upon": {
    proves: [
      "addAll",
      "addSockets",
      "broadcast",
      "broadcastWithAck",
      "del",
      "delAll",
      "delSockets",
      "disconnectSockets",
      "fetchSockets",
    ].map((name) => `Adapter#${name}`),
    single: "these read the state of one process",
    app(io) {
      const { adapter } = io.of("/");
      const to = (...rooms) => ({ rooms: new Set(rooms), except: new Set(), flags: {} });
      const packet = (...data) => ({ type: 2, nsp: "/", data });
      return {
        async ask(id) {
          adapter.addAll(id, new Set(["red", "blue"]));
          adapter.broadcast(packet("news", 1), to("red"));
          adapter.del(id, "red");
          adapter.broadcast(packet("news", "never"), to("red"));
          adapter.addSockets(to("blue"), ["green"]);
          const found = (await adapter.fetchSockets(to("green"))).map((one) => [one.id === id, [...one.rooms].length]);
          adapter.delSockets(to("blue"), ["green"]);
          adapter.broadcast(packet("news", "never"), to("green"));
          const answers = await new Promise((resolve) => {
            const heard = [];
            let expected;
            const note = () => expected === heard.length && resolve(heard);
            adapter.broadcastWithAck(
              packet("ask"),
              { ...to("blue"), flags: { timeout: 1000 } },
              (count) => ((expected = count), note()),
              (...args) => (heard.push(args), note()),
            );
          });
          adapter.delAll(id);
          return [found, answers, adapter.sids.has(id), adapter.rooms.size];
        },
        end: () => adapter.disconnectSockets(to("other"), true),
      };
    },
    async run(t) {
      const a = (await t.connect("a")).answer("ask", () => "answer");
      const b = await t.connect("b");
      await b.ask("join", "other");
      t.log("seen", await t.tell("ask", a.id));
      await a.until("news");
      await t.tell("end");
      await b.until("disconnect");
    },
  },
};
