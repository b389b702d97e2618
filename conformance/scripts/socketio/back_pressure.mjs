// An app that stops while much is unsent and goes on at `drain` delivers everything, and never has much unsent.
const CHUNKS = 400;
const CHUNK = "c".repeat(100_000);

export const options = ({ recovers }) => ({
  pingInterval: 300_000,
  perMessageDeflate: false,
  ...(recovers ? { connectionStateRecovery: {} } : {}),
});

export function app(io, log, { byRoom }) {
  io.on("connection", (socket) => {
    const { conn } = socket;
    let sent = 0;
    let most = 0;
    let drains = 0;
    const go = () => {
      while (sent < CHUNKS && conn.writeBuffer.length <= 8) {
        (byRoom ? io.to(socket.id) : socket).emit("chunk", sent++, CHUNK);
        most = Math.max(most, conn.writeBuffer.length);
      }
      if (sent < CHUNKS || !conn.listeners("drain").includes(onDrain)) return;
      conn.off("drain", onDrain);
      log("sent all", { "stopped and went on": drains > 5, "little was unsent": most <= 12 });
    };
    const onDrain = () => {
      drains += 1;
      go();
    };
    socket.on("go", () => {
      conn.on("drain", onDrain);
      go();
    });
  });
}

export const table = {
  websocket: { transports: ["websocket"] },
  polling: { transports: ["polling"] },
  // With recovery, \`emit\` is a broadcast to the room that has the socket's id.
  "websocket, with recovery": { transports: ["websocket"], recovers: true },
  "polling, with recovery": { transports: ["polling"], recovers: true },
  "websocket, to the room of the socket": { transports: ["websocket"], byRoom: true },
};

export async function run(t, { transports }) {
  const client = await t.connect("a", { transports, quiet: true });
  let inOrder = 0;
  let got = 0;
  const all = new Promise((done) => {
    client.socket.on("chunk", (number, text) => {
      if (number === got && text.length === CHUNK.length) inOrder += 1;
      if (++got === CHUNKS) done("all");
    });
    client.socket.on("disconnect", done);
  });
  client.emit("go");
  await t.saw("sent all");
  t.log("ended with", await all);
  t.log("chunks in order", inOrder);
}
