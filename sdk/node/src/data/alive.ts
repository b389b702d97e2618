/** Recognises live objects: objects with connections of their own, which are not data. */
import { types } from "node:util";

/** The key of a property that marks a class whose objects are never copied. */
export const INTERNAL = Symbol("trunkline.internal");

/** Whether the object is a plain record, as most are: such objects need no further checks. */
export function isBareRecord(value: object): boolean {
  const proto: unknown = Object.getPrototypeOf(value);
  return proto === Object.prototype || proto === null;
}

/**
 * Whether the object's methods show that it is more than its values: emitters (sockets, servers, streams), targets of
 * events, timers, promises.
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
 * Whether the object's internal type shows that it is more than its values: promises of any class, weak collections,
 * objects of native code.
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

/** The name of the object's class, for messages. */
export function nameOf(value: object): string {
  const { constructor } = value as { constructor?: unknown };
  const name = typeof constructor === "function" ? constructor.name : "";
  return name === "" || name === "Object" ? "an object" : `a ${name}`;
}
