// The answer to a handshake is the open packet and nothing else; what the app writes in the same turn is the next
// answer.
export const options = { allowEIO3: true };

export function app(io, log) {
  io.engine.on("connection", (conn) => conn.send("at once"));
  io.on("connection", (socket) => log("connect", socket.nsp.name));
}

export const table = { "protocol 4": "4", "protocol 3, which joins by itself": "3" };

export async function run(t, EIO) {
  const open = await t.http("GET", t.url({ EIO }));
  const [, length, packet] = /^(?:(\d+):)?(.*)$/.exec(open.body);
  // How long a sid is is the server's affair.
  t.log("open", [open.status, EIO === "4" || Number(length) === packet.length, packet]);
  const { sid } = JSON.parse(packet.slice(1));
  if (EIO === "3") await t.saw("connect");
  t.log("next", await t.http("GET", t.url({ EIO, sid })));
}
