/** The namespaces that have a number on one trunk (`spec/trunk.md`, section 7). */

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

  get size(): number {
    return this.byName.size;
  }

  find(name: string): Numbered | undefined {
    return this.byName.get(name);
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
