// The close packet over polling: a held poll is answered with a noop, the app sees "transport close".
export const table = { "with a poll held": true, "without a poll": false };

export async function run(t, held) {
  const session = await t.polling({ join: true });
  const poll = held ? await session.hold() : undefined;
  t.log("POST", await session.post("1"));
  if (poll) t.log("GET", await poll.answer);
  await t.saw("disconnect");
  t.log("afterwards", await session.get());
}
