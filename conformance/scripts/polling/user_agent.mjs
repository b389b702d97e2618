// Old Internet Explorer gets one more header.
export const table = {
  MSIE: "Mozilla/4.0 (compatible;MSIE 8.0)",
  Trident: "Mozilla/5.0 (Trident/7.0; rv:11.0)",
  other: "curl/8",
};

export async function run(t, agent) {
  const session = await t.polling({ headers: { "user-agent": agent } });
  t.log("handshake", session.response);
  t.log("POST", await session.post("40", { "user-agent": agent }));
  t.log("GET", await session.get({ "user-agent": agent }));
}
