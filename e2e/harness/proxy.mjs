// Runs the blocks of docs/operate/*.md in the real programs.
import { readFileSync } from "node:fs";
import { Daemon } from "../../testing/daemon.mjs";

export { Daemon, freePort, haproxy, nats, program } from "../../testing/daemon.mjs";

/** The block under this heading of a page in docs/operate. */
export function documented(heading, page = "proxies") {
  const text = readFileSync(new URL(`../../docs/operate/${page}.md`, import.meta.url), "utf8");
  const section = text.split(/^#+ /m).find((part) => part.startsWith(`${heading}\n`));
  const block = section && /^```\w+\n([\s\S]*?)^```$/m.exec(section)?.[1];
  if (!block) throw new Error(`the page has no block under "${heading}"`);
  return block;
}

/** Makes each replacement exactly as often as given: a changed block is then noticed. */
export function adapted(block, replacements) {
  return replacements.reduce((text, [from, to, times = 1]) => {
    const pieces = text.split(from);
    if (pieces.length - 1 !== times) throw new Error(`${pieces.length - 1} times "${from}" in:\n${text}`);
    return pieces.join(to);
  }, block);
}

/** nginx with this block inside `http`. */
export function nginx(block, port) {
  const config = (folder) => `
    daemon off; pid ${folder}/pid; error_log stderr warn; worker_processes 1;
    events { worker_connections 4096; }
    http {
      access_log off;
      ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${folder}/${kind};`).join(" ")}
      ${block}
    }`;
  return Daemon.start("nginx", config, port, (file, folder) => ["-c", file, "-p", folder, "-e", "stderr"]);
}
