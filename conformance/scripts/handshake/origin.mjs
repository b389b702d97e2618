// A header that HTTP does not allow: the handshake is refused with an error, or already by the HTTP parser.
export const table = {
  "control character": { origin: "http://a\x01b" },
  "obs-text is fine": { origin: "http://caf\xe9" },
  empty: { origin: "" },
  null: { origin: "null" },
};

export async function run(t, { origin }) {
  t.log("GET", await t.http("GET", t.url(), { headers: { origin } }));
}
