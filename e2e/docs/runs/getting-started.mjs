// The page "Getting started", from an empty folder, with the packed SDK: every command is typed as the page says.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../../testing/wait.mjs";
import { startNode } from "../../harness/node.mjs";
import { Log } from "../../harness/log.mjs";
import { ROOT } from "../blocks.mjs";
import { placed } from "../modules.mjs";
import { commandsIn, mistakesIn } from "../shell.mjs";

export async function run(pile) {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-getting-started-"));
  const children = [];
  let node;
  const start = (file) => {
    const child = spawn(process.execPath, [file], {
      cwd: join(folder, "hello"),
      env: { ...process.env, TRUNKLINE_ENDPOINT: node.url },
    });
    children.push(child);
    return new Log(file, child);
  };
  try {
    const build = pile.take("sh", "npm pack");
    assert.deepEqual(mistakesIn(build), []);
    const pack = build.split("\n").find((line) => line.includes("npm pack"));
    sh(pack.replace("npm ci && ", "").replace("--pack-destination ../..", `--pack-destination ${folder}`), ROOT);
    const packed = readdirSync(folder);
    assert.match(packed.join(), /^trunkline-socket\.io-\d+\.\d+\.\d+\.tgz$/);

    const install = pile.take("sh", "npm install");
    assert.ok(install.includes(packed[0]), `the page names another file than ${packed[0]}`);
    sh(
      install
        .replace("/path/to/trunkline/", `${folder}/`)
        .replace("npm install", "npm install --prefer-offline --no-audit --no-fund"),
      folder,
    );

    node = await startNode();
    writeFileSync(join(folder, "hello/server.mjs"), pile.take("js", "useTrunkline"));
    writeFileSync(join(folder, "hello/client.mjs"), placed(pile.take("js", "socket.io-client"), node.url));
    assert.deepEqual(commandsIn(pile.take("sh", "node server.mjs")), [
      ["node", "server.mjs"],
      ["node", "client.mjs"],
    ]);
    const server = start("server.mjs");
    await until("the app server", () => server.count(/app server is ready/));
    const client = start("client.mjs");
    const shown = pile
      .take("text", "connected as")
      .split("\n")
      .map((line) => line.replace(/[\w-]{20}/, "ID"));
    await until("what the page shows", () => client.lines.length >= shown.length);
    assert.deepEqual(
      client.lines.map((line) => line.replace(/[\w-]{20}/, "ID")),
      shown,
    );

    const [[program, url]] = commandsIn(pile.take("sh", "curl"));
    assert.equal(program, "curl");
    const status = await fetch(node.adminUrl + new URL(url).pathname);
    assert.equal(status.status, 200);
    assert.match(await status.text(), /sessions/);
  } finally {
    for (const child of children) child.kill("SIGKILL");
    await node?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function sh(line, cwd) {
  execFileSync("bash", ["-euc", line], {
    cwd,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, npm_config_update_notifier: "false" },
  });
}
