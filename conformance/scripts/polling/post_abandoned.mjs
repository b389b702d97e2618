// The client disconnects in the middle of a body: the session ends.
export async function run(t) {
  const session = await t.polling({ join: true });
  const stream = await t.stream();
  stream.request("POST", session.path, { headers: { "content-length": 1000, "content-type": "text/plain" } });
  stream.write("42[");
  await t.pause(50); // no event shows that a server has begun to read
  stream.destroy();
  await t.saw("disconnect");
  t.log("afterwards", await session.get());
}
