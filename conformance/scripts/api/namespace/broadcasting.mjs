// Broadcasts of a namespace reach its own sockets only.
const broadcast = (proves, say, more = {}) => ({
  proves,
  ...more,
  app(io) {
    const chat = io.of("/chat");
    chat.on("connection", (socket) => socket.on("join", (rooms, done) => (socket.join(rooms), done())));
    return { say: () => void say(chat, io) };
  },
  async run(t) {
    const a = await t.connect("a", { nsp: "/chat" });
    const b = await t.connect("b", { nsp: "/chat" });
    await t.connect("b main", { on: b });
    const c = await t.connect("c");
    await a.ask("join", ["red"]);
    await b.ask("join", ["red", "blue"]);
    await c.ask("join", ["red"]);
    await t.tell("say");
    await t.settle();
  },
});

export const cases = {
  emit: broadcast(["Namespace#emit"], (chat) => chat.emit("news", 1)),
  send: broadcast(["Namespace#send"], (chat) => chat.send("hello")),
  write: broadcast(["Namespace#write"], (chat) => chat.write("hello")),
  to: broadcast(["Namespace#to"], (chat) => chat.to("red").emit("news")),
  in: broadcast(["Namespace#in"], (chat) => chat.in("blue").emit("news")),
  except: broadcast(["Namespace#except"], (chat) => chat.except("blue").emit("news")),
  volatile: broadcast(["Namespace#volatile"], (chat) => chat.volatile.emit("news")),
  compress: broadcast(["Namespace#compress"], (chat) => chat.compress(false).emit("news")),
  local: broadcast(["Namespace#local"], (chat) => chat.local.emit("news"), { single: "local is about one app server" }),
  "rooms of the same name": broadcast(
    ["Namespace#to"],
    (chat, io) => (chat.to("red").emit("chat red"), io.to("red").emit("main red")),
  ),
  "timeout and emitWithAck": {
    proves: ["Namespace#timeout"],
    app: (io) =>
      io.of("/chat") && { ask: async () => (await io.of("/chat").timeout(2000).emitWithAck("ask", 5)).sort() },
    async run(t) {
      for (const name of ["a", "b"]) (await t.connect(name, { nsp: "/chat" })).answer("ask", (number) => name + number);
      (await t.connect("c")).answer("ask", () => "wrong");
      t.log("answers", await t.tell("ask"));
    },
  },
};
