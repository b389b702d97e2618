// The client disconnects while its poll is held: the session ends.
export async function run(t) {
  const session = await t.polling({ join: true });
  const poll = await session.hold();
  poll.stream.destroy();
  await t.saw("disconnect");
  t.log("afterwards", await session.get());
}
