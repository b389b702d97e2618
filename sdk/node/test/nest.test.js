/**
 * A NestJS application whose gateways are behind Trunkline: its own adapter with the one line, and its own copy of
 * socket.io.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import "reflect-metadata";
import { Controller, Get, Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { IoAdapter } from "@nestjs/platform-socket.io";
import {
  ConnectedSocket,
  MessageBody,
  SubscribeMessage,
  WebSocketGateway,
  WebSocketServer,
  WsException,
} from "@nestjs/websockets";
import { useTrunkline } from "../dist/esm/index.js";
import { until } from "./support/app.js";
import { FakeNode } from "./support/fake-node.js";

/** What `@decorator` is without TypeScript. */
const onMethod = (type, name, ...decorators) =>
  decorators.forEach((decorate) =>
    decorate(type.prototype, name, Object.getOwnPropertyDescriptor(type.prototype, name)),
  );
const onArguments = (type, name, ...decorators) =>
  decorators.forEach((decorate, index) => decorate(type.prototype, name, index));

class Pages {
  page() {
    return "from nest";
  }
}
Controller()(Pages);
onMethod(Pages, "page", Get("page"));

class Chat {
  handleConnection(socket) {
    this.last = socket;
  }
  handleDisconnect(socket) {
    this.gone = socket.id;
  }
  add([a, b]) {
    return a + b;
  }
  say(text, socket) {
    socket.join("said");
    this.server.to("said").emit("said", text);
    return { event: "heard", data: text.length };
  }
  refuse() {
    throw new WsException("not for you");
  }
}
WebSocketServer()(Chat.prototype, "server");
onMethod(Chat, "add", SubscribeMessage("add"));
onArguments(Chat, "add", MessageBody());
onMethod(Chat, "say", SubscribeMessage("say"));
onArguments(Chat, "say", MessageBody(), ConnectedSocket());
onMethod(Chat, "refuse", SubscribeMessage("refuse"));

/** A gateway of a namespace has the same server, and sockets of its own. */
class Rooms extends Chat {}
WebSocketGateway({ cors: { origin: "*" } })(Chat);
WebSocketGateway({ namespace: "rooms" })(Rooms);

class App {}
Module({ controllers: [Pages], providers: [Chat, Rooms] })(App);

/** The one line, where Nest makes its server. */
class TrunklineAdapter extends IoAdapter {
  constructor(app, options) {
    super(app);
    this.options = options;
  }
  createIOServer(port, options) {
    const io = super.createIOServer(port, options);
    this.trunkline = useTrunkline(io, this.options);
    return io;
  }
}

async function startNest(t) {
  const node = await FakeNode.start();
  const app = await NestFactory.create(App, { logger: ["error"] });
  app.useWebSocketAdapter(new TrunklineAdapter(app, { endpoint: node.endpoint }));
  await app.listen(0, "127.0.0.1");
  t.after(async () => {
    await app.close();
    await node.stop();
  });
  return { app, trunk: await node.trunk(), url: await app.getUrl() };
}

const texts = (trunk) => trunk.frames.filter(({ type }) => type === "Send").map(({ payload }) => payload.toString());

test("a gateway answers, joins rooms, broadcasts, refuses, and sees clients come and go", async (t) => {
  const { app, trunk } = await startNest(t);
  const chat = app.get(Chat);
  await trunk.connect(1);
  await until(() => chat.last !== undefined);
  trunk.text(1, '21["add",[2,3]]');
  trunk.text(1, '2["say","hello"]');
  trunk.text(1, '2["refuse"]');
  await until(() => texts(trunk).length >= 3);
  assert.ok(texts(trunk).includes("31[5]"), texts(trunk).join());
  assert.ok(texts(trunk).includes('2["heard",5]'));
  assert.ok(texts(trunk).some((text) => text.startsWith('2["exception"') && text.includes("not for you")));
  const broadcast = await trunk.next("Broadcast");
  assert.deepEqual(broadcast.rooms, ["said"]);
  const { id } = chat.last;
  const gone = once(chat.last, "disconnect");
  trunk.text(1, "1");
  await gone;
  await until(() => chat.gone === id);
});

test("a gateway with a namespace shares the trunk", async (t) => {
  const { app, trunk } = await startNest(t);
  const rooms = app.get(Rooms);
  trunk.open(1);
  await trunk.next("Accept");
  trunk.text(1, "0/rooms,");
  await until(() => rooms.last !== undefined);
  trunk.text(1, '2/rooms,7["add",[20,3]]');
  await until(() => texts(trunk).includes("3/rooms,7[23]"));
  assert.equal(rooms.last.nsp.name, "/rooms");
});

test("Nest's own HTTP server goes on: its routes, and clients that come straight to it", async (t) => {
  const { url } = await startNest(t);
  const base = url.replace("[::1]", "127.0.0.1");
  assert.equal(await (await fetch(`${base}/page`)).text(), "from nest");
  const handshake = await fetch(`${base}/socket.io/?EIO=4&transport=polling`, {
    headers: { origin: "http://elsewhere" },
  });
  assert.equal(handshake.headers.get("access-control-allow-origin"), "*");
  assert.equal((await handshake.text())[0], "0");
});
