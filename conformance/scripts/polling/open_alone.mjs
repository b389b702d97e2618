// The answer to a handshake contains only the open packet; messages that the app sends in the same turn are in the next
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
  // The length of a sid may differ between servers.
  t.log("open", [open.status, EIO === "4" || Number(length) === packet.length, packet]);
  const { sid } = JSON.parse(packet.slice(1));
  if (EIO === "3") await t.saw("connect");
  const next = await t.http("GET", t.url({ EIO, sid }));
  // A turn of the app in which a socket joins may reach a node in two pieces, and its client in two answers.
  while (EIO === "3" && !next.body.endsWith("2:40")) next.body += (await t.http("GET", t.url({ EIO, sid }))).body;
  t.log("next", EIO === "4" ? next : [next.status, next.body]);
}
