/** What is alive and not data: whatever has connections of its own. */
import { types } from "node:util";

/** An object with this in its class is never copied. */
export const INTERNAL = Symbol("trunkline.internal");

/** Most objects are no more than this, and need not be asked for what only others can be. */
export function isBareRecord(value: object): boolean {
  const proto: unknown = Object.getPrototypeOf(value);
  return proto === Object.prototype || proto === null;
}

/**
 * Whether it can do what only a thing with a life beyond its values can: emitters (sockets, servers, streams), targets
 * of events, timers, promises.
 */
export function isAlive(value: object): boolean {
  const face = value as Record<string | symbol, unknown>;
  return (
    (typeof face.on === "function" && typeof face.emit === "function") ||
    (typeof face.addEventListener === "function" && typeof face.dispatchEvent === "function") ||
    (typeof face.ref === "function" && typeof face.unref === "function") ||
    typeof face.then === "function" ||
    face[INTERNAL] === true
  );
}

/**
 * The same by what it is inside: promises whatever they were made of, weak collections, what belongs to native code.
 */
export function isAliveInside(value: object): boolean {
  return (
    types.isPromise(value) ||
    types.isWeakMap(value) ||
    types.isWeakSet(value) ||
    types.isSharedArrayBuffer(value) ||
    types.isGeneratorObject(value) ||
    types.isExternal(value) ||
    value instanceof WeakRef
  );
}

export function nameOf(value: object): string {
  const { constructor } = value as { constructor?: unknown };
  const name = typeof constructor === "function" ? constructor.name : "";
  return name === "" || name === "Object" ? "an object" : `a ${name}`;
}
