/** Values of `spec/vectors/relay.json`: JSON as far as it goes, `{ "$": kind, … }` for the rest. Both directions. */

const VIEWS = {
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  DataView,
};
const hex = (view) => Buffer.from(view.buffer, view.byteOffset, view.byteLength).toString("hex");

/** The value that a vector describes. */
export function build(description) {
  const containers = [];
  const begin = (container) => (containers.push(container), container);
  const make = (each) => {
    if (typeof each !== "object" || each === null) return each;
    if (Array.isArray(each)) {
      const list = begin([]);
      for (const inner of each) list.push(make(inner));
      return list;
    }
    const { $: kind, value } = each;
    switch (kind) {
      case undefined: {
        const record = begin({});
        for (const [key, inner] of Object.entries(each)) record[key] = make(inner);
        return record;
      }
      case "record": {
        const record = begin({});
        for (const [key, inner] of value)
          Object.defineProperty(record, key, {
            value: make(inner),
            enumerable: true,
            writable: true,
            configurable: true,
          });
        return record;
      }
      case "map": {
        const map = begin(new Map());
        for (const [key, inner] of value) map.set(make(key), make(inner));
        return map;
      }
      case "set": {
        const set = begin(new Set());
        for (const inner of value) set.add(make(inner));
        return set;
      }
      case "undefined":
        return undefined;
      case "bigint":
        return BigInt(value);
      case "number":
        return Number(value);
      case "date":
        return new Date(value ?? NaN);
      case "regexp":
        return new RegExp(...value);
      case "error": {
        const [name, message, stack] = value;
        const error = new (globalThis[name] ?? Error)(message);
        Object.defineProperty(error, "name", { value: name });
        Object.defineProperty(error, "stack", { value: stack ?? undefined });
        return error;
      }
      case "bin":
        return Buffer.from(value, "hex");
      case "bytes": {
        const [name, bytes] = value;
        const { buffer } = new Uint8Array(Buffer.from(bytes, "hex"));
        return name === "ArrayBuffer" ? buffer : new VIEWS[name](buffer);
      }
      case "same":
        return containers[value];
      default:
        throw new Error(kind);
    }
  };
  return make(description);
}

/** The other way. */
export function describe(value) {
  const containers = new Map();
  const tell = (each) => {
    switch (typeof each) {
      case "undefined":
        return { $: "undefined" };
      case "bigint":
        return { $: "bigint", value: String(each) };
      case "number":
        return Object.is(each, -0)
          ? { $: "number", value: "-0" }
          : Number.isFinite(each)
            ? each
            : { $: "number", value: String(each) };
      case "object":
        return each === null ? null : tellObject(each);
      default:
        return each;
    }
  };
  const tellObject = (each) => {
    if (Buffer.isBuffer(each)) return { $: "bin", value: each.toString("hex") };
    if (each instanceof ArrayBuffer) return { $: "bytes", value: ["ArrayBuffer", hex(new Uint8Array(each))] };
    if (ArrayBuffer.isView(each)) return { $: "bytes", value: [each.constructor.name, hex(each)] };
    if (each instanceof Date) return { $: "date", value: Number.isNaN(each.getTime()) ? null : each.getTime() };
    if (each instanceof RegExp) return { $: "regexp", value: [each.source, each.flags] };
    if (each instanceof Error) return { $: "error", value: [each.name, each.message, each.stack ?? null] };
    if (containers.has(each)) return { $: "same", value: containers.get(each) };
    containers.set(each, containers.size);
    if (each instanceof Map) return { $: "map", value: [...each].map(([key, inner]) => [tell(key), tell(inner)]) };
    if (each instanceof Set) return { $: "set", value: [...each].map(tell) };
    if (Array.isArray(each)) return each.map(tell);
    const entries = Object.entries(each).map(([key, inner]) => [key, tell(inner)]);
    const isOdd = entries.some(([key]) => key === "__proto__" || /\p{Surrogate}/u.test(key));
    return isOdd ? { $: "record", value: entries } : Object.fromEntries(entries);
  };
  return tell(value);
}
