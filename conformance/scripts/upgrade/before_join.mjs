// The upgrade may come before the Socket.IO connect packet.
export async function run(t) {
  const session = await t.polling();
  const ws = await session.upgrade();
  t.log("connect", await ws.text("40").next());
}
