/** The namespaces that have a number on one trunk (`spec/trunk.md`, section 7). */

/** What a `Namespace` frame is longer than its name. */
const OVERHEAD_BYTES = 16;
/** Of one UTF-16 unit. */
const UTF8_BYTES_MAX = 3;

export interface Numbered {
  readonly number: number;
  /** Sockets that the node was told of. */
  sockets: number;
  /** The app has no such namespace any more: the number goes back with the last socket. */
  isOver: boolean;
}

export class Namespaces {
  private readonly byName = new Map<string, Numbered>();
  private readonly free: number[] = [];
  private next = 0;

  find(name: string): Numbered | undefined {
    return this.byName.get(name);
  }

  /** What the node has against one more namespace of this name, in words; undefined when it takes it. */
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
