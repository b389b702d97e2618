/** Fails by name when a release of socket.io moves something that src/socketio relies on. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { test } from "node:test";
import { Server } from "socket.io";
import { findBases } from "../dist/esm/socketio/bases.js";
import { engineSettings, unhonouredOptions } from "../dist/esm/socketio/internals.js";
import { MessageType, PacketType } from "../dist/esm/socketio/types.js";

const require = createRequire(createRequire(import.meta.url).resolve("socket.io"));
const { version } = require("../package.json");
const { Adapter, MessageType: theirs, SessionAwareAdapter } = require("socket.io-adapter");
const engineIo = require("engine.io");

const say = (what) => `socket.io ${version}: ${what} has moved; src/socketio relies on it`;

test("the base classes are the app's own copies", () => {
  class Mine extends Server {
    constructor(secret) {
      assert.equal(secret, 42);
      super();
    }
  }
  const bases = findBases(new Mine(42));
  assert.equal(bases.Adapter, Adapter, say("Adapter"));
  assert.equal(bases.RecoveryAdapter, SessionAwareAdapter, say("SessionAwareAdapter"));
  assert.equal(bases.Engine, Object.getPrototypeOf(engineIo.Server), say("BaseServer"));
});

test("the base classes are found where socket.io has written over its class's constructor, as in Bun", (t) => {
  const { constructor } = Server.prototype;
  t.after(() => (Server.prototype.constructor = constructor));
  Server.prototype.constructor = function (...args) {
    return this.sockets.constructor.apply(this.sockets, args);
  };
  class Other extends Adapter {}
  const found = (options) => findBases(new Server(createServer(), options));
  const plain = found({ pingInterval: 77 });
  assert.equal(plain.Engine, Object.getPrototypeOf(engineIo.Server));
  assert.equal(plain.defaults.pingInterval, 25_000);
  for (const adapter of [
    undefined,
    Other,
    function (nsp) {
      return new Other(nsp);
    },
  ]) {
    for (const connectionStateRecovery of [undefined, {}]) {
      const bases = found({ adapter, connectionStateRecovery });
      assert.equal(bases.Adapter, Adapter);
      if (adapter === undefined && connectionStateRecovery) assert.equal(bases.RecoveryAdapter, SessionAwareAdapter);
    }
  }
});

test("the numbers of messages among app servers", () => {
  for (const [name, number] of Object.entries(MessageType))
    assert.equal(theirs[name], number, say(`MessageType.${name}`));
  const { PacketType: parsers, Decoder } = require("socket.io-parser");
  for (const [name, number] of Object.entries(PacketType))
    assert.equal(parsers[name], number, say(`PacketType.${name}`));
  const decoder = new Decoder();
  decoder.add('51-["x",{"_placeholder":true,"num":0}]');
  assert.ok(decoder.reconstructor, say("Decoder.reconstructor"));
  decoder.add(Buffer.from("x"));
  assert.ok(!decoder.reconstructor, say("Decoder.reconstructor"));
});

const METHODS = [
  [
    "Server.prototype",
    Server.prototype,
    ["initEngine", "onconnection", "bind", "attach", "adapter", "path", "close", "of"],
  ],
  [
    "BaseServer.prototype",
    Object.getPrototypeOf(engineIo.Server).prototype,
    ["use", "verify", "_applyMiddlewares", "generateId", "close"],
  ],
  [
    "Adapter.prototype",
    Adapter.prototype,
    [
      "init",
      "close",
      "addAll",
      "del",
      "delAll",
      "broadcast",
      "broadcastWithAck",
      "apply",
      "socketRooms",
      "fetchSockets",
      "addSockets",
      "delSockets",
      "disconnectSockets",
    ],
  ],
  [
    "Namespace.prototype",
    require("socket.io").Namespace.prototype,
    ["_onServerSideEmit", "_initAdapter", "_add", "_createSocket"],
  ],
  ["SessionAwareAdapter.prototype", SessionAwareAdapter.prototype, ["broadcast", "persistSession", "restoreSession"]],
  [
    "Socket.prototype",
    require("socket.io").Socket.prototype,
    [
      "onAnyOutgoing",
      "prependAnyOutgoing",
      "listenersAnyOutgoing",
      "notifyOutgoingListeners",
      "packet",
      "ack",
      "_onclose",
    ],
  ],
  [
    "Client.prototype",
    require("socket.io/dist/client.js".replace("socket.io/dist", "../dist")).Client.prototype,
    ["writeToEngine", "setup", "onclose", "ondata", "connect", "_packet"],
  ],
];
for (const [name, proto, methods] of METHODS) {
  for (const method of methods) {
    test(`${name}.${method}`, () => assert.equal(typeof proto[method], "function", say(`${name}.${method}`)));
  }
}

test("the properties that are read and replaced", (t) => {
  const http = createServer();
  const io = new Server(http, { pingInterval: 77 });
  t.after(() => io.close());
  assert.ok(io._nsps instanceof Map, say("Server._nsps"));
  assert.equal(io._nsps.get("/"), io.sockets, say("Server.sockets"));
  assert.equal(typeof io._connectTimeout, "number", say("Server._connectTimeout"));
  assert.equal(io.opts.pingInterval, 77, say("Server.opts"));
  assert.equal(io.engine, io.eio, say("Server.eio"));
  for (const name of ["opts", "clients", "middlewares", "clientsCount"]) {
    assert.ok(Object.hasOwn(io.eio, name), say(`engine.${name}`));
  }
  const [onconnection] = io.eio.listeners("connection");
  assert.match(onconnection.name, /onconnection/, say("the engine's connection listener"));
  const { adapter, sockets } = io.of("/");
  assert.ok(sockets instanceof Map, say("Namespace.sockets"));
  assert.ok(adapter.rooms instanceof Map && adapter.sids instanceof Map, say("Adapter.rooms, Adapter.sids"));
  assert.equal(typeof adapter.encoder.encode, "function", say("Adapter.encoder"));
  assert.equal(typeof io.of("/")._ids, "number", say("Namespace._ids"));
  assert.equal(typeof new io._parser.Decoder().add, "function", say("Server._parser"));
  assert.equal(typeof io.encoder.encode, "function", say("Server.encoder"));
  assert.deepEqual(engineIo.Server.errorMessages[4], "Forbidden", say("BaseServer.errorMessages"));
});

test("the options that the node carries out are found", () => {
  const io = new Server(createServer(), { pingTimeout: 5, connectionStateRecovery: { maxDisconnectionDuration: 9 } });
  const settings = engineSettings(io);
  assert.equal(settings.pingTimeout, 5);
  assert.equal(settings.connectionStateRecovery.maxDisconnectionDuration, 9);
});

test("a limit that is more than a node takes is cut to that, and said", () => {
  for (const maxHttpBufferSize of [1e10, Infinity]) {
    const io = new Server(createServer(), { maxHttpBufferSize });
    assert.equal(engineSettings(io).maxHttpBufferSize, 2 ** 31 - 1);
    assert.match(unhonouredOptions(io).join(), /^maxHttpBufferSize: a node takes no more than 2147483647 bytes/);
  }
  const io = new Server(createServer(), { maxHttpBufferSize: 1e8 });
  assert.deepEqual([engineSettings(io).maxHttpBufferSize, unhonouredOptions(io)], [1e8, []]);
});
