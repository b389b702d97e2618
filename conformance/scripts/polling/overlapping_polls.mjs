// A second poll while one is held ends the session; both are answered.
export async function run(t) {
  const session = await t.polling({ join: true });
  const first = await session.hold();
  t.log("second", await session.get());
  t.log("first", await first.answer);
  await t.saw("disconnect");
  t.log("afterwards", await session.get());
}
