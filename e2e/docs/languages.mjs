// What happens to a block without a comment: it depends on its language.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { BINARY } from "../harness/node.mjs";
import { mistakesIn } from "./shell.mjs";

const KEY = "a key for the documentation's own examples";

/** The folder in which a page's commands are typed: the folder of a README, otherwise the root. */
export const folderOf = (page) =>
  page.endsWith("README.md") && !page.startsWith("docs/") ? dirname(page).replace(/^\.$/, "") : "";

function inScratch(use) {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-docs-"));
  try {
    return use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs a program over a block; returns the program's output if it found a fault. */
function judged(program, args, options = {}) {
  const { status, error, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", timeout: 60_000, ...options });
  if (error?.code === "ENOENT")
    throw new Error(`${program} is not installed: \`cargo xtask test --only docs\` does it`);
  return status === 0 ? [] : [`${program} ${args[0]}: ${stdout}${stderr}`.trim()];
}

function toml({ text }) {
  return inScratch((folder) => {
    const secret = join(folder, "secret");
    writeFileSync(secret, `${KEY}\n`, { mode: 0o600 });
    let config = text.replace(/\/run\/secrets\/\w+/g, secret);
    // A page that shows a part of a hub's table has shown the rest of the table before.
    const [, name] = /^\[\[hub\.(\w+)\./m.exec(config) ?? [];
    if (name) config = `[hub.${name}]\ndefault = true\nkeys = ["${KEY}"]\n${config}`;
    const path = join(folder, "trunkline.toml");
    writeFileSync(path, config);
    return judged(BINARY, ["config", "check", "--config", path], { env: { PATH: process.env.PATH } });
  });
}

function systemd({ text }) {
  return inScratch((folder) => {
    const unit = join(folder, "trunkline.service");
    writeFileSync(unit, text.replaceAll("/usr/local/bin/trunkline", BINARY));
    const mistakes = judged("systemd-analyze", ["verify", unit]);
    const command = /^ExecStart=(.*)$/m.exec(text)[1].replace("/usr/local/bin/", "");
    return [...mistakes, ...mistakesIn(command)];
  });
}

function prometheus({ text }) {
  return inScratch((folder) => {
    const path = join(folder, "prometheus.yml");
    writeFileSync(path, text);
    return judged("promtool", ["check", /^groups:/m.test(text) ? "rules" : "config", path]);
  });
}

function nginx({ text }) {
  return inScratch((folder) => {
    const [key, certificate] = [join(folder, "key.pem"), join(folder, "certificate.pem")];
    const request = [
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-nodes",
      "-days",
      "2",
      "-subj",
      "/CN=trunkline.example.com",
    ];
    const made = judged("openssl", [...request, "-keyout", key, "-out", certificate]);
    const block = text
      .replace("/etc/ssl/trunkline.pem", certificate)
      .replace("/etc/ssl/trunkline.key", key)
      .replace(/\blisten 443\b/, "listen 127.0.0.1:0");
    const path = join(folder, "nginx.conf");
    writeFileSync(
      path,
      `pid ${folder}/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n${block.replace("127.0.0.1:0", "127.0.0.1:44300")}\n}\n`,
    );
    return [...made, ...judged("nginx", ["-t", "-e", "stderr", "-p", folder, "-c", path])];
  });
}

function haproxy({ text }) {
  return inScratch((folder) => {
    const path = join(folder, "haproxy.cfg");
    writeFileSync(path, `${text}\n`);
    return judged("haproxy", ["-c", "-f", path]);
  });
}

function json({ text }) {
  try {
    JSON.parse(text);
    return [];
  } catch (error) {
    return [error.message];
  }
}

/** Languages that a program checks, with what is checked. */
export const CHECKED = {
  sh: ({ text, page }) => mistakesIn(text, folderOf(page)),
  toml,
  ini: systemd,
  yaml: prometheus,
  nginx,
  haproxy,
  json,
};
/** Languages whose blocks are run. */
export const MODULES = ["js", "ts"];
