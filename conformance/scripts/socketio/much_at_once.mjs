// More than a client can take at once: a client that reads gets all of it, in order, over either transport.
const LINES = 24_000;
const FILL = "y".repeat(1_000);

export const options = ({ deflate }) => ({
  pingInterval: 300_000,
  perMessageDeflate: deflate ? { threshold: 512 } : false,
});

export function app(io, log, { how }) {
  io.on("connection", (socket) => {
    socket.on("all", () => {
      for (let number = 0; number < LINES; number += 1) (how === "broadcast" ? io : socket).emit("line", number, FILL);
      log("said", LINES);
    });
  });
}

export const table = {
  websocket: { how: "emit", transports: ["websocket"] },
  "websocket, broadcast": { how: "broadcast", transports: ["websocket"] },
  "websocket, compressed": { how: "emit", transports: ["websocket"], deflate: true },
  polling: { how: "emit", transports: ["polling"] },
  "polling, broadcast": { how: "broadcast", transports: ["polling"] },
  "during the upgrade": { how: "emit", transports: ["polling", "websocket"] },
};

export async function run(t, { transports }) {
  const client = await t.connect("a", { transports, quiet: true });
  let inOrder = 0;
  let got = 0;
  const all = new Promise((done) => {
    client.socket.on("line", (number) => {
      if (number === got) inOrder += 1;
      if (++got === LINES) done("all");
    });
    client.socket.on("disconnect", done);
  });
  client.emit("all");
  t.log("ended with", await all);
  t.log("lines in order", inOrder);
}
