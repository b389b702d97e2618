// The `cookie` option names the session in a cookie of the first answer, and only there.
export const table = {
  "by name": { cookie: { name: "io" } },
  "with attributes": { cookie: { name: "who", httpOnly: false, sameSite: "strict", path: "/chat", maxAge: 60 } },
};
export const options = (row) => row;

export async function run(t) {
  const session = await t.polling();
  const { "set-cookie": cookie, ...headers } = session.response.headers;
  t.log("cookie", String(cookie).replace(session.sid, "<sid 1>"));
  t.log("handshake", { ...session.response, headers });
  t.log("POST", await session.post("40"));
}
