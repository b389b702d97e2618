// A custom parser: packets as reversed JSON text, binary in base64.
const EMITTERS = Symbol("listeners");

class Emitter {
  [EMITTERS] = new Map();
  on(name, listener) {
    this[EMITTERS].set(name, listener);
    return this;
  }
  // socket.io-client and socket.io call this when a connection has ended.
  off(name) {
    this[EMITTERS].delete(name);
    return this;
  }
  removeListener(name) {
    return this.off(name);
  }
  removeAllListeners() {
    this[EMITTERS].clear();
  }
  emit(name, ...args) {
    this[EMITTERS].get(name)?.(...args);
  }
}

const reverse = (text) => [...text].reverse().join("");

export class Encoder {
  encode(packet) {
    const pack = (_key, value) =>
      value?.type === "Buffer" ? { base64: Buffer.from(value.data).toString("base64") } : value;
    return [reverse(JSON.stringify(packet, pack))];
  }
}

export class Decoder extends Emitter {
  add(chunk) {
    const unpack = (_key, value) => (typeof value?.base64 === "string" ? Buffer.from(value.base64, "base64") : value);
    this.emit("decoded", JSON.parse(reverse(chunk), unpack));
  }
  destroy() {}
}

export const parser = { protocol: 5, Encoder, Decoder };

/** The same parser, with bytes in place of text. */
export const binaryParser = {
  protocol: 5,
  Encoder: class {
    encode(packet) {
      return [Buffer.from(new Encoder().encode(packet)[0])];
    }
  },
  Decoder: class extends Decoder {
    add(chunk) {
      super.add(Buffer.from(chunk).toString());
    }
  },
};
