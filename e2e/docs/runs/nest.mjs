// The adapter for NestJS, compiled by the current compiler and run in the current NestJS, behind a node.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { startNode } from "../../harness/node.mjs";
import { FOLDER, require, runModule } from "../modules.mjs";

const APP = `
import "reflect-metadata";
import { Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway } from "@nestjs/websockets";
import type { Socket } from "socket.io";
import { io as connect } from "socket.io-client";
import { TrunklineAdapter } from "./nest-adapter.mjs";

@WebSocketGateway()
class Gateway {
  @SubscribeMessage("add")
  add(@MessageBody() numbers: number[], @ConnectedSocket() socket: Socket) {
    return [numbers.reduce((sum, one) => sum + one, 0), socket.conn.transport.name];
  }
}

@Module({ providers: [Gateway] })
class App {}

const app = await NestFactory.create(App, { logger: ["error"] });
app.useWebSocketAdapter(new TrunklineAdapter(app));
await app.listen(0, "127.0.0.1");
const client = connect(process.env.DOCS_URL!, { transports: ["websocket"] });
console.log(JSON.stringify(await client.emitWithAck("add", [2, 3])));
client.disconnect();
await app.close();
`;

export async function run(pile) {
  writeFileSync(`${FOLDER}nest-adapter.mts`, pile.take("ts", "IoAdapter"));
  writeFileSync(`${FOLDER}nest-app.mts`, APP);
  const compiler = require.resolve("typescript/package.json").replace("package.json", "bin/tsc");
  const options = [
    "--target",
    "es2022",
    "--module",
    "nodenext",
    "--strict",
    "--exactOptionalPropertyTypes",
    "--noImplicitOverride",
    "--skipLibCheck",
    "--experimentalDecorators",
    "--emitDecoratorMetadata",
    "--types",
    "node",
  ];
  const { status, stdout } = spawnSync(process.execPath, [compiler, ...options, "nest-app.mts"], {
    cwd: FOLDER,
    encoding: "utf8",
  });
  assert.equal(status, 0, stdout);
  const node = await startNode();
  try {
    const { code, said } = await runModule("nest-app.mjs", undefined, {
      env: { TRUNKLINE_ENDPOINT: node.url, DOCS_URL: node.url },
    });
    assert.equal(code, 0, said);
    assert.match(said, /\[5,"websocket"\]/);
  } finally {
    await node.stop();
  }
}
