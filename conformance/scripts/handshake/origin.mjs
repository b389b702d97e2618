// A header that HTTP does not allow: the handshake is refused by name, or not let in by the HTTP parser at all.
export const table = {
  "control character": { origin: "http://a\x01b" },
  "obs-text is fine": { origin: "http://caf\xe9" },
  empty: { origin: "" },
  null: { origin: "null" },
};

export async function run(t, { origin }) {
  t.log("GET", await t.http("GET", t.url(), { headers: { origin } }));
}
