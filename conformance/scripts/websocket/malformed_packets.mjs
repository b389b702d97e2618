// Engine.IO packets that cannot be decoded, over WebSocket: the app sees "parse error", the client a close frame.
export const table = {
  "unknown packet type": (ws) => ws.text("7"),
  "a letter": (ws) => ws.text("x"),
  "empty text": (ws) => ws.text(""),
  "several packets in a frame": (ws) => ws.text('42["a",1]\x1e42["b",2]'),
};

export async function run(t, send) {
  const ws = await t.direct({ join: true });
  send(ws);
  t.log("server", await ws.rest());
  await t.saw("close");
}
