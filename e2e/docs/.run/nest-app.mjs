var __decorate = (this && this.__decorate) || function (decorators, target, key, desc) {
    var c = arguments.length, r = c < 3 ? target : desc === null ? desc = Object.getOwnPropertyDescriptor(target, key) : desc, d;
    if (typeof Reflect === "object" && typeof Reflect.decorate === "function") r = Reflect.decorate(decorators, target, key, desc);
    else for (var i = decorators.length - 1; i >= 0; i--) if (d = decorators[i]) r = (c < 3 ? d(r) : c > 3 ? d(target, key, r) : d(target, key)) || r;
    return c > 3 && r && Object.defineProperty(target, key, r), r;
};
var __metadata = (this && this.__metadata) || function (k, v) {
    if (typeof Reflect === "object" && typeof Reflect.metadata === "function") return Reflect.metadata(k, v);
};
var __param = (this && this.__param) || function (paramIndex, decorator) {
    return function (target, key) { decorator(target, key, paramIndex); }
};
import "reflect-metadata";
import { Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway } from "@nestjs/websockets";
import { io as connect } from "socket.io-client";
import { TrunklineAdapter } from "./nest-adapter.mjs";
let Gateway = class Gateway {
    add(numbers, socket) {
        return [numbers.reduce((sum, one) => sum + one, 0), socket.conn.transport.name];
    }
};
__decorate([
    SubscribeMessage("add"),
    __param(0, MessageBody()),
    __param(1, ConnectedSocket()),
    __metadata("design:type", Function),
    __metadata("design:paramtypes", [Array, Function]),
    __metadata("design:returntype", void 0)
], Gateway.prototype, "add", null);
Gateway = __decorate([
    WebSocketGateway()
], Gateway);
let App = class App {
};
App = __decorate([
    Module({ providers: [Gateway] })
], App);
const app = await NestFactory.create(App, { logger: ["error"] });
app.useWebSocketAdapter(new TrunklineAdapter(app));
await app.listen(0, "127.0.0.1");
const client = connect(process.env.DOCS_URL, { transports: ["websocket"] });
console.log(JSON.stringify(await client.emitWithAck("add", [2, 3])));
client.disconnect();
await app.close();
