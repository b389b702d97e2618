// The ordinary client, over each transport.
const rows = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] };

export const cases = Object.fromEntries(
  Object.entries(rows).map(([name, transports]) => [
    name,
    {
      proves: [`clients: socket.io-client 4, ${name}`],
      app(io) {
        io.on("connection", (socket) => socket.on("echo", (...args) => socket.emit("echo", ...args)));
        return { say: () => void io.emit("news", Buffer.from([1]), "ü") };
      },
      async run(t) {
        const a = await t.connect("a", { transports });
        if (name === "upgrade") await a.upgraded();
        a.emit("echo", 1, { a: Buffer.from([1, 2]) }, "ü");
        await a.until("echo");
        await t.tell("say");
        t.log("rooms", (await a.ask("rooms")).length);
        await t.settle();
        a.socket.disconnect();
        await t.saw("disconnect");
      },
    },
  ]),
);
