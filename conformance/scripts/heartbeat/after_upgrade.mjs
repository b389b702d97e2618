// A ping that was on its way before the upgrade, and those after it, go on over the new transport.
export const options = { pingInterval: 200, pingTimeout: 300 };

export async function run(t) {
  const session = await t.polling({ join: true });
  const ws = await session.upgrade();
  for (let round = 1; round <= 3; round++) t.log("server", await ws.next()), ws.text("3");
}
