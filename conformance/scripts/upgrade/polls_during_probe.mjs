// Between probe and upgrade packet every poll is answered with a noop soon, so that the client can switch.
export async function run(t) {
  const session = await t.polling({ join: true });
  const ws = await session.websocket();
  t.log("probe", await ws.text("2probe").next());
  for (const nth of ["first", "second", "third"]) t.log(`${nth} GET`, await session.get());
}
