// Answers above the threshold are compressed for clients that ask for it (`httpCompression`).
import { event } from "../../lib/tools.mjs";

export const table = {
  gzip: { accepts: "gzip, deflate, br" },
  deflate: { accepts: "deflate" },
  "not asked for": { accepts: undefined },
  "only something else": { accepts: "br" },
  "small answer": { accepts: "gzip", size: 100 },
  "turned off": { accepts: "gzip", options: { httpCompression: false } },
};
export const options = (row) => row.options;

export async function run(t, { accepts, size = 2000 }) {
  const session = await t.polling({ join: true });
  await session.post(event("echo", "x".repeat(size)));
  const { status, headers } = await session.get({ "accept-encoding": accepts });
  t.log("GET", `${status} ${headers["content-encoding"]} ${headers["content-type"]}`);
}
