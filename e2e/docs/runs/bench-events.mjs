// The two lines that an app needs for `trunkline bench`, with the file that the page and `--help` name.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, writeFileSync } from "node:fs";
import { spawn } from "node:child_process";
import { until } from "../../../testing/wait.mjs";
import { Log } from "../../harness/log.mjs";
import { BINARY } from "../../harness/node.mjs";
import { ROOT } from "../blocks.mjs";
import { FOLDER } from "../modules.mjs";

export async function run(pile) {
  const help = spawnSync(BINARY, ["bench", "--help"], {
    encoding: "utf8",
    env: { ...process.env, COLUMNS: "60" },
  }).stdout;
  const printed = help.slice(help.indexOf("// "));
  for (const [name, place] of [
    ["events.mjs", () => cpSync(`${ROOT}bench/apps/events.mjs`, `${FOLDER}events.mjs`)],
    ["what --help prints", () => writeFileSync(`${FOLDER}events.mjs`, printed)],
  ]) {
    place();
    const { status, stderr } = spawnSync(process.execPath, ["--check", `${FOLDER}events.mjs`], { encoding: "utf8" });
    assert.equal(status, 0, `${name}: ${stderr}`);
  }
  const server = `import { createServer } from "node:http";\nimport { Server } from "socket.io";\nconst http = createServer();\nconst io = new Server(http);\n`;
  writeFileSync(
    `${FOLDER}bench-app.mjs`,
    `${server}${pile.take("js", "benchEvents")}\nhttp.listen(0, "127.0.0.1", () => console.log("port", http.address().port));\n`,
  );
  const app = spawn(process.execPath, [`${FOLDER}bench-app.mjs`], { cwd: FOLDER });
  const log = new Log("bench app", app);
  try {
    const line = await until("the app's port", () => log.lines.find((one) => one.startsWith("port ")));
    const bench = pile
      .take("sh", "trunkline bench")
      .replace("http://127.0.0.1:3000", `http://127.0.0.1:${line.split(" ")[1]}`)
      .replace("app=4711", `app=${app.pid}`);
    const small = `${bench.replace("trunkline", BINARY).replace("--clients 1000 --rate 5000", "--clients 20 --rate 100")} --warmup 0 --duration 1`;
    const { status, stdout, stderr } = spawnSync("bash", ["-euc", small], { cwd: FOLDER, encoding: "utf8" });
    assert.equal(status, 0, stdout + stderr);
  } finally {
    app.kill("SIGKILL");
  }
}
