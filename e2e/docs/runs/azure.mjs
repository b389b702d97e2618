// The page "From Azure": the quickstart with Microsoft's package, its client, and the move to our own SDK.
import assert from "node:assert/strict";
import { connectionString } from "../../harness/azure.mjs";
import { startNode } from "../../harness/node.mjs";
import { AZURE_FOLDER, FOLDER, givenFor, placed, runModule } from "../modules.mjs";
import { mistakesIn } from "../shell.mjs";

const after = JSON.stringify(new URL("../after.mjs", import.meta.url).href);

export async function run(pile) {
  assert.deepEqual(mistakesIn(pile.take("sh", "trunkline dev")), []);
  const node = await startNode();
  const env = {
    CONNECTION_STRING: connectionString(node),
    DOCS_URL: node.url,
    DOCS_PATH: "/clients/socketio/hubs/default",
    TRUNKLINE_ENDPOINT: node.url,
  };
  const app = async (name, text, folder) => {
    // Microsoft's SDK goes on trying after `io.close()`, so the last line of the module ends the process.
    const module = `${givenFor(text)}${placed(text, node.url)}\n{ const { afterApp } = await import(${after}); await afterApp(io); process.exit(0); }`;
    const { code, said } = await runModule(name, module, { env, folder });
    assert.equal(code, 0, said);
  };
  try {
    await app("azure-quickstart.mjs", pile.take("js", "AccessKey="), AZURE_FOLDER);

    const client = pile.take("js", "path:");
    const server =
      'import { Server } from "socket.io"; import { useTrunkline } from "@trunkline/socket.io"; const own = new Server(); await useTrunkline(own).ready;';
    const module = `${server}\n${givenFor(client)}${placed(client, node.url)}\n{ const { afterClient } = await import(${after}); await afterClient(socket); own.close(); }`;
    const { code, said } = await runModule("azure-client.mjs", module, { env });
    assert.equal(code, 0, said);

    const lines = pile.take("diff", "useTrunkline").split("\n");
    const side = (sign) =>
      lines
        .filter((line) => !line.startsWith(sign === "+" ? "-" : "+"))
        .map((line) => line.slice(1))
        .join("\n");
    await app("azure-before.mjs", side("-"), AZURE_FOLDER);
    await app("azure-after.mjs", side("+"), FOLDER);
  } finally {
    await node.stop();
  }
}
