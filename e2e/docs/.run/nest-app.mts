
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
