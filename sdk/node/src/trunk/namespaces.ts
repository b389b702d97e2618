/** The namespaces that have a number on one trunk (`spec/trunk.md`, section 7). */

/** The bytes of a `Namespace` frame in addition to its name. */
const OVERHEAD_BYTES = 16;
/** The most bytes of one UTF-16 unit in UTF-8. */
const UTF8_BYTES_MAX = 3;

/** A namespace with a number. */
export interface Numbered {
  readonly number: number;
  /** Sockets that the node knows. */
  sockets: number;
  /** Whether the app no longer has the namespace: the number is freed with the last socket. */
  isOver: boolean;
}

/** The numbered namespaces of one trunk. */
export class Namespaces {
  private readonly byName = new Map<string, Numbered>();
  private readonly free: number[] = [];
  private next = 0;

  find(name: string): Numbered | undefined {
    return this.byName.get(name);
  }

  /** Why the node would refuse one more namespace of this name, in words; undefined when it accepts it. */
  refusal(text: string, namespacesMax: number, batchBytesMax: number): string | undefined {
    if (this.byName.size >= namespacesMax) {
      return `the node takes no more than ${namespacesMax} namespaces at once: clients in others are closed, and broadcasts there reach nobody`;
    }
    const room = batchBytesMax - OVERHEAD_BYTES;
    if (text.length * UTF8_BYTES_MAX <= room || Buffer.byteLength(text) <= room) return undefined;
    return `a namespace's name of ${text.length} characters is more than the node takes: its clients are closed`;
  }

  give(name: string): Numbered {
    const numbered = { number: this.free.pop() ?? this.next++, sockets: 0, isOver: false };
    this.byName.set(name, numbered);
    return numbered;
  }

  takeBack(name: string, { number }: Numbered): void {
    this.byName.delete(name);
    this.free.push(number);
  }
}
