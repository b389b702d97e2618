/**
 * The sessions of an engine. Apps find them at `io.engine.clients`, an object with their ids as keys, which few look at.
 * V8 takes longer to add a key to such an object, and to remove it, than for all other work on a session's entry here, so
 * the object is made when it is first read.
 */
import type { Conn } from "../session/conn.js";

/** The sessions behind Trunkline. */
export class Clients implements Iterable<Conn> {
  private readonly conns = new Set<Conn>();
  private table: Record<string, unknown> | undefined;
  /** The sessions by their ids, made when the first one is looked for. */
  private index: Map<string, Conn> | undefined;

  get size(): number {
    return this.conns.size;
  }

  /** The sessions by their ids; the same object each time. */
  get byId(): Record<string, unknown> {
    if (this.table !== undefined) return this.table;
    this.table = {};
    for (const conn of this.conns) this.table[conn.id] = conn;
    return this.table;
  }
  set byId(table: Record<string, unknown>) {
    this.table = table;
  }

  /** The session that the node knows by this id. */
  find(sid: string): Conn | undefined {
    this.index ??= new Map([...this.conns].map((conn) => [conn.id, conn]));
    return this.index.get(sid);
  }

  add(conn: Conn): void {
    this.conns.add(conn);
    this.index?.set(conn.id, conn);
    if (this.table !== undefined) this.table[conn.id] = conn;
  }

  delete(conn: Conn): void {
    this.conns.delete(conn);
    // Ids that the app makes may repeat: then another session has the place.
    if (this.index?.get(conn.id) === conn) this.index.delete(conn.id);
    if (this.table?.[conn.id] === conn) delete this.table[conn.id];
  }

  [Symbol.iterator](): Iterator<Conn> {
    return this.conns.values();
  }
}
