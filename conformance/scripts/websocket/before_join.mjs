// A session without any namespace: it lives on, and packets that are not allowed in it close it.
export const table = {
  "event before connect": '42["a",1]',
  "ack before connect": '431["a"]',
  "disconnect before connect": "41",
  "event of another namespace": '42/x,["a",1]',
};

export async function run(t, packet) {
  const ws = await t.direct();
  ws.text(packet);
  t.log("server", await ws.rest());
  await t.saw("close");
}
