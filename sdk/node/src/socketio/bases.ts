/**
 * The classes of socket.io, engine.io and socket.io-adapter that ours extend: the app's own copies, found through its
 * server.
 */
import { createServer } from "node:http";
import {
  internalsOf,
  type AdapterBase,
  type AdapterConstructor,
  type DirectEngine,
  type EngineBaseConstructor,
  type EngineOptions,
  type ServerInternals,
  type SocketIoServer,
} from "./types.js";

type ServerConstructor = new (options: object) => ServerInternals;

/** The app's own copies of the classes that ours extend. */
export interface Bases {
  readonly Engine: EngineBaseConstructor;
  readonly Adapter: AdapterConstructor;
  readonly RecoveryAdapter: AdapterConstructor;
  /** The options of an engine for which the app has set none. */
  readonly defaults: EngineOptions;
}

/** The bases by socket.io's `Server.prototype`, and, where the class cannot be found from it, by server. */
const basesOf = new WeakMap<object, Bases>();

/** Finds the app's own copies of the classes, once for each copy of socket.io. */
export function findBases(io: SocketIoServer): Bases {
  const proto = serverPrototype(io);
  const Server = classOf<ServerConstructor>(proto);
  const key = Server === undefined ? io : proto;
  let bases = basesOf.get(key);
  if (bases === undefined) {
    bases = Server === undefined ? lookAt(internalsOf(io), proto) : probe(Server);
    basesOf.set(key, bases);
  }
  return bases;
}

/** The prototype of socket.io's own class, below the app's subclasses, whose constructors may require any arguments. */
function serverPrototype(io: SocketIoServer): ServerInternals {
  for (
    let proto: object | null = Object.getPrototypeOf(io) as object;
    proto !== null;
    proto = Object.getPrototypeOf(proto) as object | null
  ) {
    if (Object.hasOwn(proto, "initEngine") && Object.hasOwn(proto, "onconnection")) return proto as ServerInternals;
  }
  throw new TypeError("useTrunkline: the first argument must be a Server of socket.io 4.6 or later");
}

/**
 * The class of a prototype. Undefined where something else was written into its `constructor`: socket.io copies all
 * enumerable members of `EventEmitter.prototype` into its server, which in Bun include `constructor`.
 */
function classOf<Class>(proto: object): Class | undefined {
  const { constructor } = proto as { constructor: unknown };
  return typeof constructor === "function" && constructor.prototype === proto ? (constructor as Class) : undefined;
}

/** Makes two servers that never listen, only to find the classes that they are made of. */
function probe(Server: ServerConstructor): Bases {
  const plain = new Server({ serveClient: false });
  plain.attach(createServer());
  const recovering = new Server({ serveClient: false, connectionStateRecovery: {} });
  return { ...engineBases(plain.eio), Adapter: plain.adapter(), RecoveryAdapter: recovering.adapter() };
}

/** Finds the same without the class: from an engine that the server makes, and the adapter of the app's server. */
function lookAt(io: ServerInternals, proto: ServerInternals): Bases {
  const plain = Object.create(proto) as ServerInternals;
  Object.assign(plain, { bind: () => plain });
  plain.initEngine(createServer(), {});
  const classes = classesOf(io.sockets.adapter);
  const Adapter = classes.find(({ prototype }) =>
    ["addAll", "socketRooms", "broadcast"].every((name) => Object.hasOwn(prototype, name)),
  );
  if (Adapter === undefined)
    throw new TypeError("useTrunkline: no class of socket.io-adapter is found in the server's adapter");
  // If it cannot be found, the app has another adapter, so the class is not needed.
  const RecoveryAdapter = classes.find(
    (one) => Object.getPrototypeOf(one) === Adapter && Object.hasOwn(one.prototype as object, "restoreSession"),
  );
  return { ...engineBases(plain.eio), Adapter, RecoveryAdapter: RecoveryAdapter ?? Adapter };
}

function engineBases(eio: DirectEngine | undefined): Pick<Bases, "Engine" | "defaults"> {
  if (eio === undefined)
    throw new TypeError("useTrunkline: this release of socket.io is not supported: it has no io.eio");
  const HttpEngine = Object.getPrototypeOf(eio) as object;
  return {
    Engine: (Object.getPrototypeOf(HttpEngine) as { constructor: EngineBaseConstructor }).constructor,
    defaults: eio.opts,
  };
}

/** The class of an adapter and its base classes, nearest first. */
function classesOf(adapter: AdapterBase): AdapterConstructor[] {
  const list: AdapterConstructor[] = [];
  for (
    let proto: unknown = Object.getPrototypeOf(adapter);
    typeof proto === "object" && proto !== null;
    proto = Object.getPrototypeOf(proto)
  ) {
    const constructor = classOf<AdapterConstructor>(proto);
    if (constructor !== undefined) list.push(constructor);
  }
  return list;
}
