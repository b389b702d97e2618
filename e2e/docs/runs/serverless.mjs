// The page "Serverless mode": the handler in Python, the node, the client, and a REST call by hand.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { io } from "socket.io-client";
import { next, until } from "../../../testing/wait.mjs";
import { KEY, PATH, PYTHON } from "../../harness/handler.mjs";
import { Log } from "../../harness/log.mjs";
import { startNode } from "../../harness/node.mjs";
import { givenFor, placed, runModule } from "../modules.mjs";
import { freePort } from "../ports.mjs";
import { commandsIn } from "../shell.mjs";

export async function run(pile) {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-serverless-"));
  const port = await freePort();
  writeFileSync(join(folder, "handler.py"), pile.take("python"));
  const handler = spawn(PYTHON, ["-m", "uvicorn", "handler:app", "--port", String(port)], {
    cwd: folder,
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1" },
  });
  const log = new Log("handler", handler);
  let node;
  let listener;
  try {
    await until("the handler", () => log.count(/running on/) || (handler.exitCode !== null && fail(log.text)));
    const [[program, command, flag, url]] = commandsIn(pile.take("sh", "trunkline dev"));
    assert.deepEqual([program, command], ["trunkline", "dev"]);
    node = await startNode({ args: [flag, url.replace(":3000", `:${port}`)] });

    const client = pile.take("js", "emitWithAck");
    const { code, said } = await runModule(
      "serverless-client.mjs",
      `${givenFor(client)}${placed(client, node.url)}\nsocket.disconnect();`,
    );
    assert.equal(code, 0, said);
    assert.match(said, /\| hi$/m);
    const refused = io(node.url, { path: PATH, auth: { name: "mallory" }, reconnection: false });
    const [error] = await next(refused, "connect_error");
    assert.equal(error.message, "not you");

    listener = io(node.url, { path: PATH, auth: { name: "ann" } });
    await next(listener, "connect");
    const heard = next(listener, "news");
    const call = pile.take("sh", "/:send").replaceAll("http://127.0.0.1:8080", node.url);
    const { status, stdout, stderr } = spawnSync("bash", ["-euo", "pipefail", "-c", call], {
      encoding: "utf8",
      env: { ...process.env, KEY },
    });
    assert.equal(status, 0, stderr);
    assert.match(stdout, /\b202\b/);
    assert.deepEqual(await heard, ["hello"]);

    const sent = next(listener, "news");
    const module = pile.take("js", "/:send");
    const answer = await runModule("serverless-send.mjs", placed(module, node.url), { env: { HUB_KEY: KEY } });
    assert.equal(answer.code, 0, answer.said);
    assert.match(answer.said, /\| 202$/m);
    assert.deepEqual(await sent, ["hello"]);
  } finally {
    listener?.disconnect();
    handler.kill("SIGKILL");
    await node?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function fail(text) {
  throw new Error(text);
}
