// The ways in which a client may leave: the answer to each close frame, and the reason that the app sees.
export const table = {
  "close frame 1000": (ws) => ws.close(1000),
  "close frame 1000 with a reason": (ws) => ws.close(1000, "done here"),
  "close frame 1001": (ws) => ws.close(1001),
  "close frame 1011": (ws) => ws.close(1011),
  "close frame 3000": (ws) => ws.close(3000),
  "close frame 4999": (ws) => ws.close(4999, "mine"),
  "close frame without a code": (ws) => ws.close(),
  "end of the stream": (ws) => ws.stream.finish(),
  "reset of the stream": (ws) => ws.stream.reset(),
  "end in the middle of a frame": (ws) => (ws.raw(Buffer.from([0x81, 0x85, 1, 2])), ws.stream.finish()),
  "packets, then close frame": (ws) => ws.text('42["a",1]').text('42["a",2]').close(1000),
};

export async function run(t, leave) {
  const ws = await t.direct({ join: true });
  leave(ws);
  t.log("server", await ws.rest());
  await t.saw("close");
}
