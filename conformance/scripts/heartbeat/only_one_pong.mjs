// One pong answers one ping only: the next ping needs its own.
export const options = { pingInterval: 150, pingTimeout: 150 };

export async function run(t) {
  const ws = await t.direct({ join: true });
  t.log("server", await ws.next());
  ws.text("3").text("3").text("3");
  t.log("server", await ws.rest());
  await t.saw("close");
}
