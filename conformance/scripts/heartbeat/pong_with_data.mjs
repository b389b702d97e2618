// A pong may carry data; it counts like any other.
export const options = { pingInterval: 150, pingTimeout: 200 };

export async function run(t) {
  const ws = await t.direct({ join: true });
  for (let round = 1; round <= 3; round++) t.log("server", await ws.next()), ws.text("3hello");
}
